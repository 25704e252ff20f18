"""Converts client requests to jobs: resolves names and rejects contradictions."""

from hw_profiles.host import resolved_device_id
from hw_profiles.profile import DeviceProfile
from nas.data.sources import flips_by_default
from nas.families.registry import family_of
from nas.home import Home
from nas.jobs.requests import MAX_MEMBERS, BatchRequest, CalibrationRequest, SearchRequest, TrainingRequest
from nas.jobs.submission import NewJob
from nas.measuring.device_measurements import DeviceMeasurements
from nas.recorded_tables import RecordedTables
from nas.search.budget import MIN_STAGED_EVALUATIONS
from nas.search.methods import STAGED_METHODS
from nas.search.provable_limits import infeasible_limits
from nas.search.restriction import requested_restriction
from nas.store import Store
from nas.store.data_sets import STORED_DATA, DataSetContents
from nas.store.devices import StoredDevice
from nas.store.supernets import StoredSupernet
from nas.store.tenancy import EVERYTHING, Viewer
from nas.training.settings import TrainingSettings
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

    def __init__(self, store: Store, home: Home, viewer: Viewer = EVERYTHING) -> None:
        """Names mean what the viewer may see."""
        self._store = store
        self._home = home
        self._viewer = viewer

    def search(self, asked: SearchRequest, *, within: str = "") -> NewJob:
        """A search; ``within`` is the prefix of its fields' names."""
        device = self._require_device(asked.device, within)
        space = _space(asked.space, within)
        supernet = self._supernet(space, asked.supernet, within)
        if supernet is None:
            raise RequestFieldError(f"{within}space", f"{space} has no trained supernet yet; run hwnas train first")
        self._check_method(asked, within)
        bound = get_space(space, supernet.task)
        constraints = asked.limits.constraints()
        try:
            restriction = requested_restriction(bound, device.profile, asked.precisions)
        except UsageError as error:
            raise RequestFieldError(f"{within}precisions", str(error).rstrip(".")) from error
        for name, reason in infeasible_limits(bound, constraints, device.profile, restriction).items():
            raise RequestFieldError(f"{within}limits.{name}", reason)
        request = asked.model_dump(mode="json", exclude={"priority"}) | {
            "space": space,
            "supernet": supernet.id,
            "limits": constraints.as_limits(),
        }
        return NewJob(kind="search", request=request, host=self._host(device.profile), priority=asked.priority)

    def calibration(self, profile: DeviceProfile, asked: CalibrationRequest, *, within: str = "") -> NewJob:
        """A calibration of a device, which is known; ``within`` is the prefix of its fields' names."""
        device = profile.id
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
        sources = None if asked.sources is None else [resolved_device_id(name) for name in asked.sources]
        self._check_sources(bound, device, sources or [], within)
        request = asked.model_dump(mode="json", exclude={"priority"}) | fixed | {"sources": sources}
        return NewJob(kind="calibration", request=request, host=self._host(profile), priority=asked.priority)

    def training(self, asked: TrainingRequest) -> NewJob:
        """A training; the request names every setting, so that it means the same after an upgrade."""
        space = _space(asked.space, "")
        contents = self._contents(asked.data)
        task = None if contents is None else contents.task
        try:
            family_of(get_space(space, task))
        except UsageError as error:
            raise RequestFieldError("space", str(error).rstrip(".")) from error
        if asked.init is not None:
            self._supernet(space, asked.init, "", field="init")
        try:
            chosen = {"flip": flips_by_default(asked.data)} | asked.chosen()
            settings = TrainingSettings.with_defaults(
                chosen, images=None if contents is None else contents.images_train
            )
        except UsageError as error:
            raise RequestFieldError("settings", str(error).rstrip(".")) from error
        request = {"data": asked.data, "space": space} | settings.as_json()
        return NewJob(kind="training", request=request, priority=asked.priority)

    def batch(self, asked: BatchRequest) -> list[NewJob]:
        """The members of a batch: searches, then calibrations."""
        count = len(asked.searches) + len(asked.calibrations)
        if not 1 <= count <= MAX_MEMBERS:
            reason = f"searches and calibrations are {count} members; give 1 to {MAX_MEMBERS}"
            raise RequestFieldError("searches", reason)
        jobs = [self.search(one, within=f"searches.{number}.") for number, one in enumerate(asked.searches)]
        for number, one in enumerate(asked.calibrations):
            within = f"calibrations.{number}."
            device = self._require_device(one.device, within)
            jobs.append(self.calibration(device.profile, one, within=within))
        return jobs

    def _host(self, profile: DeviceProfile) -> str | None:
        """Whose worker measures on a device: its host's, or any for an agent's."""
        return None if self._store.agents.find(profile.device) is not None else profile.device

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

    def _supernet(
        self, space: str, supernet_id: str | None, within: str, *, field: str = "supernet"
    ) -> StoredSupernet | None:
        """The supernet that is asked for, or the newest of the space, if there is one."""
        if supernet_id is None:
            return self._store.supernets.latest(space=space, viewer=self._viewer)
        supernet = self._store.supernets.find(supernet_id, self._viewer)
        if supernet is None:
            raise RequestFieldError(f"{within}{field}", f"no supernet {supernet_id!r} is stored")
        if supernet.space != space:
            reason = f"{supernet_id} is a supernet of {supernet.space}, not of {space}"
            raise RequestFieldError(f"{within}{field}", reason)
        return supernet

    def _contents(self, data: str) -> DataSetContents | None:
        """What an uploaded data set holds; None for an embedded one, which the job loads."""
        if not data.startswith(STORED_DATA):
            return None
        data_set = self._store.data_sets.find(data.removeprefix(STORED_DATA), self._viewer)
        if data_set is None:
            raise RequestFieldError("data", f"no data set {data} is stored; GET /v1/data-sets lists those that are")
        if data_set.contents is None:
            raise RequestFieldError("data", f"{data} is {data_set.state}; only a data set that is ready can be used")
        return data_set.contents

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
