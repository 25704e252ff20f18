"""Calibrates a device: measures the most informative networks, fits, reports the expected error."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from hw_profiles.host import resolved_device_id
from hw_profiles.profile import DeviceProfile
from nas.home import Home
from nas.measuring.context import DeviceContext
from nas.measuring.device_measurements import DeviceSamples
from nas.measuring.drift import DriftCheck, find_drift
from nas.measuring.network_measurer import NetworkMeasurer, random_weight_measurer
from nas.progress import Progress
from nas.store.leases import Lease
from nas.workflows.calibration_plots import plot_history, plot_predictions
from nas.workflows.known_devices import KnownDevices, known_devices
from nas.workflows.population import Precisions, calibrated_precisions, population
from nas.workflows.predictor_revisions import store_revision
from nas.workspace import Workspace
from predictors.calibration import Calibration, CalibrationSettings, CalibrationStep, TargetDevice, calibrate
from predictors.errors import UnfitDataError
from predictors.samples import MIN_SAMPLES
from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.registry import canonical_name, get_space
from search_spaces.space import IntArray, SearchSpace

DEFAULT_BUDGET: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationTask:
    """How to calibrate; the same task on the same measurements chooses the same networks."""

    space: str
    budget: int = DEFAULT_BUDGET
    """Maximum number of chosen networks to measure, including those of an interrupted run of the same task.

    The check for drift measures up to three more.
    """
    target_mape_pct: float | None = None
    """Stop once the expected error is at most this."""
    sources: tuple[str, ...] | None = None
    """Known devices to learn from; None takes all that are known in the space, an empty tuple takes none."""
    precisions: Precisions = "all"
    seed: int = 0
    supernet: str | None = None
    """First digits of the id of the supernet whose images and classes to use.

    Default: the newest supernet of the space, or what the space was published with.
    """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CalibrationReport:
    """What a calibration found and where it is kept."""

    device: str
    space: str
    task: dict[str, int]
    revision: str
    calibration: Calibration
    known: KnownDevices
    drift: DriftCheck | None
    """None if there was too little to compare with."""
    measured: int
    """Networks measured in this run, without those of the check for drift."""
    reused: int
    """Chosen networks that had been measured before."""
    failed: int
    """Chosen networks that could not be measured."""
    plots: tuple[Path, ...]

    @property
    def joined(self) -> int:
        """Networks in the fit that were not chosen: measured earlier, or by the check for drift."""
        return len(self.calibration.latency_ms) - (self.measured + self.reused - self.failed)

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        predictor = self.calibration.predictor
        return {
            "device": self.device,
            "space": self.space,
            "task": self.task,
            "predictor": self.revision,
            "stopped": self.calibration.stopped,
            "samples": len(self.calibration.latency_ms),
            "measured": self.measured,
            "reused": self.reused,
            "failed": self.failed,
            "expected_mape_pct": predictor.expected_mape_pct,
            "repeatability_pct": predictor.repeatability * 100,
            "held_out": predictor.held_out.as_json(),
            "form": predictor.choice.as_json(),
            **_origins(self.known, self.drift),
            "history": [asdict(step) for step in self.calibration.history],
            "plots": [str(path) for path in self.plots],
        }


def calibrate_device(
    workspace: Workspace,
    device: str,
    task: CalibrationTask,
    progress: Progress,
    lease: Lease | None = None,
) -> CalibrationReport:
    """Measures, fits, plots and stores a new revision of the device's latency predictor.

    Chosen networks that were measured before under the same fingerprint are not measured again;
    whatever else was measured of the space there joins the fit. Where a few of the earlier
    measurements disagree with fresh ones, all earlier ones are discarded.

    Raises:
        UsageError: if the device cannot be measured from here, or the task contradicts itself.
        UnfitDataError: if too few measurements succeed, or nothing can be learned from them.
        NasError: if measuring is impossible.
    """
    profile = measurable_profile(workspace, device)
    space = bound_space(workspace, task)
    pool = population(space, task.seed, calibrated_precisions(space, profile, task.precisions))
    check_budget(task.budget, len(pool))
    context = DeviceContext(workspace=workspace, space=space, profile=profile, progress=progress, lease=lease)
    known = known_devices(context, task.sources)
    for sentence in (*known.left_out, _sources_sentence(known)):
        progress.say(sentence)
    with random_weight_measurer(context) as measurer:
        drift = find_drift(context, context.measurements().samples(), measurer.latencies_ms)
        run = CalibrationRun(context, context.measurements().samples(), measurer)
        found = run.calibrate(pool, task, known)
    folder = device_folder(workspace.home, profile)
    revision = store_revision(
        workspace,
        found.predictor,
        profile_id=profile.id,
        supernet_id=None,
        provenance={
            "fingerprint": profile.fingerprint,
            "task": space.task.as_json(),
            "request": asdict(task) | {"space": space.name},
            "stopped": found.stopped,
            "samples": len(found.latency_ms),
            "expected_mape_pct": found.predictor.expected_mape_pct,
            "repeatability_pct": found.predictor.repeatability * 100,
            "form": found.predictor.choice.form,
            **_origins(known, drift),
            "history": [asdict(step) for step in found.history],
            "hwnas": version("hwnas"),
        },
    )
    title = f"{profile.id}, {space.name}: {len(found.latency_ms)} measurements"
    plots = tuple(folder / f"{revision[:12]}-{name}.png" for name in ("predicted", "error"))
    plot_predictions(found, title, plots[0])
    plot_history(found, title, plots[1])
    return CalibrationReport(
        device=profile.id,
        space=space.name,
        task=space.task.as_json(),
        revision=revision,
        calibration=found,
        known=known,
        drift=drift,
        measured=run.measured,
        reused=run.reused,
        failed=run.failed,
        plots=plots,
    )


def measurable_profile(workspace: Workspace, device: str) -> DeviceProfile:
    """The profile of a device that can be measured: this machine's, or an agent's.

    Raises:
        UsageError: for any other device; the message lists those that can be measured.
    """
    here = workspace.measurable_profiles()
    device = resolved_device_id(device)
    if device not in here:
        raise UsageError(
            f"device {device!r} cannot be measured here; devices that can:"
            f" {', '.join(sorted(here))}. Devices of recorded tables are sources, and targets of"
            " `hwnas bench calibration`."
        )
    return workspace.profile(device)


def check_budget(budget: int, available: int) -> None:
    """Checks that a budget is enough for a fit and not more than there are networks.

    Raises:
        UnfitDataError: if it is too small.
        UsageError: if it is too large.
    """
    if budget < MIN_SAMPLES:
        raise UnfitDataError(
            f"a budget of {budget} measurements is too small; give at least {MIN_SAMPLES}, preferably 20."
        )
    if budget > available:
        raise UsageError(
            f"a budget of {budget} measurements is larger than the {available} networks to choose from; reduce it."
        )


class CalibrationRun:
    """One calibration run on a device: stored measurements are reused, the rest is measured."""

    def __init__(self, context: DeviceContext, earlier: DeviceSamples, measurer: NetworkMeasurer) -> None:
        self._context = context
        self._space = context.space
        self._earlier = earlier
        self._measurer = measurer
        self.measured = self.reused = self.failed = 0

    def calibrate(
        self, pool: IntArray, task: CalibrationTask, known: KnownDevices, *, alone: bool = False
    ) -> Calibration:
        """Calibrates on chosen networks of the pool; with ``alone``, other earlier measurements do not join the fit."""
        earlier = self._earlier
        joining = slice(0, 0) if alone else slice(None)
        name = f"calibrating {self._context.profile.id}"
        progress = self._context.progress
        progress.update(name, 0, task.budget)

        def measure(rows: IntArray) -> FloatArray:
            values = self.values_of(rows, lambda done: progress.update(name, done, task.budget))
            self.failed += int(np.isnan(values).sum())
            return values

        def report(step: CalibrationStep) -> None:
            figures = {"samples": str(step.samples), "expected error": f"{step.expected_mape_pct:.1f} %"}
            progress.update(name, self._done, task.budget, figures)

        found = calibrate(
            self._space,
            pool,
            TargetDevice(
                measure=measure,
                known=(earlier.genotypes[joining], earlier.latency_ms[joining]),
                repeatability=self._repeatability,
                weights=self._context.measurements().weights_of,
            ),
            CalibrationSettings(budget=task.budget, seed=task.seed, target_mape_pct=task.target_mape_pct),
            sources=[device.model for device in known.devices],
            on_step=report,
        )
        progress.update(name, self._done, self._done)
        return found

    @property
    def _done(self) -> int:
        return self.measured + self.reused

    def values_of(self, rows: IntArray, on_done: Callable[[int], None] = lambda _done: None) -> FloatArray:
        """Milliseconds of canonical genotypes, shape ``(n,)``: stored ones, else fresh ones; NaN if one failed.

        ``on_done`` is called with the number of networks that this run has values for.
        """
        stored = self._earlier.by_id()
        values = np.full(len(rows), np.nan)
        missing = []
        for number, row in enumerate(rows):
            candidate_id = self._space.candidate(row).id
            if candidate_id in stored:
                values[number] = stored[candidate_id]
            elif candidate_id not in self._earlier.failed:
                missing.append(number)
        self.reused += len(rows) - len(missing)
        before = self._done
        on_done(before)
        values[missing] = self._measurer.latencies_ms(rows[missing], lambda timed: on_done(before + timed))
        self.measured += len(missing)
        return values

    def _repeatability(self) -> float:
        return self._context.measurements().samples().repeatability


def device_folder(home: Home, profile: DeviceProfile) -> Path:
    """The folder for plots of a device's calibrations, by its current fingerprint."""
    return home.calibrations / profile.id.replace("/", "-") / profile.fingerprint[:16]


def bound_space(workspace: Workspace, task: CalibrationTask) -> SearchSpace:
    """The space, bound to the images and classes of the task.

    Raises:
        UsageError: if there is no such supernet, or it is of another space.
    """
    name = canonical_name(task.space)
    space = get_space(name)
    if task.supernet is not None:
        supernet = workspace.supernet(task.supernet)
        if supernet.space != name:
            raise UsageError(f"supernet {supernet.id[:12]} is of {supernet.space}, not of {name}.")
    else:
        newest = workspace.store.supernets.latest(space=name)
        if newest is None:
            return space
        supernet = newest
    return get_space(name, supernet.task)


def _sources_sentence(known: KnownDevices) -> str:
    if not known.devices:
        return "no other device is used as a source: the predictor rests on this device's own measurements alone."
    names = ", ".join(f"{device.name} ({device.origin}, {device.samples})" for device in known.devices)
    return f"learning from {len(known.devices)} known devices: {names}."


def _origins(known: KnownDevices, drift: DriftCheck | None) -> dict[str, Any]:
    return {
        "sources": [
            {"name": device.name, "origin": device.origin, "samples": device.samples} for device in known.devices
        ],
        "left_out": list(known.left_out),
        "drift": None if drift is None else asdict(drift) | {"drifted": drift.drifted},
    }
