"""The whole pipeline, on the embedded images and this machine's CPU."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from hw_profiles.detect import detect_profiles
from hw_profiles.profile import DeviceProfile
from nas.data.sources import load_dataset
from nas.families.registry import family_of
from nas.fronts.front import Front
from nas.fronts.plot import plot_html, plot_png
from nas.measuring.context import SearchContext
from nas.progress import Progress
from nas.training.settings import TrainingSettings
from nas.workflows.evaluating import DEFAULT_DESIGN, measure_design, preparation_pool
from nas.workflows.exporting import check_export, export_front_file
from nas.workflows.fitting import FittedPredictors, fit_predictors
from nas.workflows.front_search import search_front
from nas.workflows.searching import SearchTask
from nas.workflows.survey import survey
from nas.workflows.training import TrainingTask, train
from nas.workspace import Workspace
from search_spaces.registry import get_space

DATA: Final = "fashion-mini"
SPACE: Final = "mobilenet_v3:tiny"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickstartSettings:
    """The space, and budgets of each stage."""

    space: str = SPACE
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(epochs=8, flip=True))
    design: int = DEFAULT_DESIGN
    search: SearchTask = field(
        default_factory=lambda: SearchTask(
            evaluations=24, survey=40, screen=16, finish_epochs=0.25, random_baseline=True
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickstartFront:
    """The front of one device and its files."""

    profile_id: str
    front_id: str
    front: Front
    """As exported: artifact paths relative to ``file``."""
    file: Path
    png: Path
    html: Path
    files_checked: int


class Stages:
    """Times stages and tells the user where they are."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Announces a stage, and its seconds when it ends."""
        self._say(f"[{len(self.seconds) + 1}] {name}")
        start_s = self._clock()
        yield
        self.seconds[name] = self._clock() - start_s
        self._say(f"    {name}: {self.seconds[name]:.1f} s")


def quickstart(
    workspace: Workspace,
    out: Path,
    progress: Progress,
    stages: Stages,
    settings: QuickstartSettings,
    report_fit: Callable[[str, FittedPredictors], None],
) -> tuple[QuickstartFront, ...]:
    """Trains, measures, fits, searches, verifies and exports for each local profile.

    Every step continues where an earlier run was interrupted.

    Args:
        workspace: home and store.
        out: gets ``front-PROFILE.json``, plots and ``artifacts/``.
        progress: told each step.
        stages: times them.
        settings: budgets.
        report_fit: told a profile's id and its fitted predictors.

    Raises:
        UsageError: if the space has no supernet or cannot take the data's images.
        NasError: if a step fails; what was finished before stays.
    """
    family_of(get_space(settings.space, load_dataset(DATA).task))  # refuses before anything has begun
    with stages.stage("train the supernet"):
        supernet = train(workspace, TrainingTask(data=DATA, space=settings.space, settings=settings.training), progress)
    with stages.stage("profile this machine"):
        profiles = _local_profiles(workspace, progress)
    fronts: list[QuickstartFront] = []
    with preparation_pool(workspace, supernet) as pool:

        def context_of(profile: DeviceProfile) -> SearchContext:
            return SearchContext(workspace=workspace, supernet=supernet, profile=profile, pool=pool, progress=progress)

        with stages.stage("survey the supernet"):
            survey(context_of(profiles[0]), settings.search.survey)
        for profile in profiles:
            with stages.stage(f"measure a designed set on {profile.id}"):
                measure_design(context_of(profile), count=settings.design)
            with stages.stage(f"fit the predictors for {profile.id}"):
                report_fit(profile.id, fit_predictors(workspace, supernet, profile))
        for profile in profiles:
            with stages.stage(f"search, compare and verify on {profile.id}"):
                front_id, front = search_front(context_of(profile), settings.search)
            with stages.stage(f"export and check the front of {profile.id}"):
                fronts.append(_export(workspace, profile, front_id, front, out))
    return tuple(fronts)


def _local_profiles(workspace: Workspace, progress: Progress) -> list[DeviceProfile]:
    profiles = list(detect_profiles())
    for profile in profiles:
        workspace.store.devices.put(profile)
        sets = " ".join(profile.isa)
        progress.say(f"    {profile.id}: {profile.processor}, {profile.cores} cores, {sets}")
    return profiles


def _export(workspace: Workspace, profile: DeviceProfile, front_id: str, front: Front, out: Path) -> QuickstartFront:
    name = f"front-{profile.id.replace('/', '-')}"
    file = out / f"{name}.json"
    exported = export_front_file(workspace, front, file)
    checked = check_export(exported, out)
    plot_png(exported, out / f"{name}.png")
    plot_html(exported, out / f"{name}.html")
    return QuickstartFront(
        profile_id=profile.id,
        front_id=front_id,
        front=exported,
        file=file,
        png=out / f"{name}.png",
        html=out / f"{name}.html",
        files_checked=checked,
    )
