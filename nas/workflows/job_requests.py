"""Converts client requests to jobs: resolves names and rejects contradictions."""

from nas.home import Home
from nas.jobs.requests import MAX_MEMBERS, BatchRequest, CalibrationRequest, SearchRequest
from nas.jobs.submission import NewJob
from nas.measuring.device_measurements import DeviceMeasurements
from nas.recorded_tables import RecordedTables
from nas.search.budget import MIN_STAGED_EVALUATIONS
from nas.search.methods import STAGED_METHODS
from nas.search.restriction import requested_restriction
from nas.store import Store
from nas.store.devices import StoredDevice
from nas.store.supernets import StoredSupernet
from nas.workflows.population import calibrated_precisions, population
from search_spaces.errors import UnknownNameError, UsageError
from search_spaces.registry import canonical_name, get_space
from search_spaces.space import SearchSpace


class RequestFieldError(UsageError):
    """A field of a request that names what is not there, or contradicts another."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        """Dots lead into objects."""
        self.reason = reason
        super().__init__(f"{field}: {reason}.")


class JobRequests:
    """Checks requests against a store and a home. Methods raise :class:`RequestFieldError`."""

    def __init__(self, store: Store, home: Home) -> None:
        self._store = store
        self._home = home

    def search(self, asked: SearchRequest, *, within: str = "") -> NewJob:
        """A search; ``within`` is the prefix of its fields' names."""
        device = self._require_device(asked.device, within)
        space = _space(asked.space, within)
        supernet = self._supernet(space, asked.supernet, within)
        if supernet is None:
            raise RequestFieldError(f"{within}space", f"{space} has no trained supernet yet; run hwnas train first")
        self._check_method(asked, within)
        try:
            requested_restriction(get_space(space, supernet.task), device.profile, asked.precisions)
        except UsageError as error:
            raise RequestFieldError(f"{within}precisions", str(error).rstrip(".")) from error
        request = asked.model_dump(mode="json") | {
            "space": space,
            "supernet": supernet.id,
            "limits": asked.limits.constraints().as_limits(),
        }
        return NewJob(kind="search", request=request)

    def calibration(self, device: str, asked: CalibrationRequest, *, within: str = "") -> NewJob:
        """A calibration of a device, which is known; ``within`` is the prefix of its fields' names."""
        space = _space(asked.space, within)
        supernet = self._supernet(space, asked.supernet, within)
        fixed = {"device": device, "space": space}
        if asked.supernet is not None and supernet is not None:
            fixed["supernet"] = supernet.id
        bound = get_space(space, None if supernet is None else supernet.task)
        profile = self._require_device(device, within).profile
        available = len(population(bound, asked.seed, calibrated_precisions(bound, profile, asked.precisions)))
        if asked.budget > available:
            reason = f"{asked.budget} is more than the {available} networks to choose from; give a smaller budget"
            raise RequestFieldError(f"{within}budget", reason)
        self._check_sources(bound, device, asked.sources or [], within)
        return NewJob(kind="calibration", request=asked.model_dump(mode="json") | fixed)

    def batch(self, asked: BatchRequest) -> list[NewJob]:
        """The members of a batch: searches, then calibrations."""
        count = len(asked.searches) + len(asked.calibrations)
        if not 1 <= count <= MAX_MEMBERS:
            reason = f"searches and calibrations are {count} members; give 1 to {MAX_MEMBERS}"
            raise RequestFieldError("searches", reason)
        jobs = [self.search(one, within=f"searches.{number}.") for number, one in enumerate(asked.searches)]
        for number, one in enumerate(asked.calibrations):
            within = f"calibrations.{number}."
            self._require_device(one.device, within)
            jobs.append(self.calibration(one.device, one, within=within))
        return jobs

    def _check_method(self, asked: SearchRequest, within: str) -> None:
        if asked.method in STAGED_METHODS and asked.evaluations < MIN_STAGED_EVALUATIONS:
            reason = f"{asked.method} spends them on two searches; give at least {MIN_STAGED_EVALUATIONS}"
            raise RequestFieldError(f"{within}evaluations", reason)

    def _require_device(self, device: str, within: str) -> StoredDevice:
        found = self._store.devices.find(device)
        if found is None:
            reason = f"no device {device!r} is known; `hwnas devices` and GET /v1/devices list those that are"
            raise RequestFieldError(f"{within}device", reason)
        return found

    def _supernet(self, space: str, supernet_id: str | None, within: str) -> StoredSupernet | None:
        """The supernet that is asked for, or the newest of the space, if there is one."""
        if supernet_id is None:
            return self._store.supernets.latest(space=space)
        supernet = self._store.supernets.find(supernet_id)
        if supernet is None:
            raise RequestFieldError(f"{within}supernet", f"no supernet {supernet_id!r} is stored")
        if supernet.space != space:
            reason = f"{supernet_id} is a supernet of {supernet.space}, not of {space}"
            raise RequestFieldError(f"{within}supernet", reason)
        return supernet

    def _check_sources(self, space: SearchSpace, device: str, sources: list[str], within: str) -> None:
        """Refuses names that a worker would refuse; whether a device has enough measurements shows later."""
        if device in sources:
            reason = f"{device} is the device to calibrate and cannot be a source of its own; leave it out"
            raise RequestFieldError(f"{within}sources.{sources.index(device)}", reason)
        known = {name for name in sources if self._is_measured(name, space)}
        if set(sources) <= known:
            return
        # Recorded tables are for the images and classes that the space was published with.
        table = RecordedTables(self._home).of_space(space.name) if space.task == get_space(space.name).task else None
        known |= set() if table is None else set(table.latency_ms)
        for number, name in enumerate(sources):
            if name not in known:
                reason = f"no device {name!r} with measurements of {space.name} is known"
                raise RequestFieldError(f"{within}sources.{number}", reason)

    def _is_measured(self, name: str, space: SearchSpace) -> bool:
        device = self._store.devices.find(name)
        return device is not None and bool(DeviceMeasurements(self._store, device.profile, space).networks())


def _space(name: str, within: str) -> str:
    try:
        return canonical_name(name)
    except UnknownNameError as error:
        raise RequestFieldError(f"{within}space", str(error).rstrip(".")) from error
