"""One search on one device: from its task to evaluated candidates."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from hw_profiles.profile import DeviceProfile
from nas.measuring.context import SearchContext
from nas.measuring.device_bench import check_measurable
from nas.metrics import Constraints, Objectives
from nas.search.budget import (
    DEFAULT_EVALUATIONS,
    DEFAULT_SCREEN,
    DEFAULT_SURVEY,
    MIN_STAGED_EVALUATIONS,
)
from nas.search.design import designed_candidates
from nas.search.finished_accuracy import FinishedAccuracy
from nas.search.generation import Generation
from nas.search.loop import SearchProblem, SearchResult, SearchSettings, run_search
from nas.search.methods import GUIDED_METHODS, STAGED_METHODS, Method
from nas.search.proposal import PredictorFits, Screening
from nas.search.restriction import Restriction, requested_restriction
from nas.search.staged import float_only
from nas.search.store_journal import StoreJournal
from nas.store.searches import SearchSpec, StoredSearch
from nas.store.supernets import StoredSupernet
from nas.training.finish_settings import FinishSettings
from nas.workflows.evaluating import DEFAULT_DESIGN, DESIGN_SEED, evaluator
from nas.workflows.latency_fitting import FIT_SEED, LatencyFitter, latency_fitter
from nas.workflows.survey import evaluated_accuracies, float_accuracies, survey
from nas.workflows.unit_sensitivity import reduced_precisions, unit_evaluations, unit_losses
from predictors.accuracy import AccuracyPredictor
from predictors.known_accuracy import KnownAccuracies
from predictors.latency import LatencyPredictor
from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

_SCREENING_ROUNDS: Final = 2
_BUDGET_FIELD: Final = "evaluations"
LATENCY_MARGIN_STDS: Final = 1.645 * math.sqrt(2.0)
"""Standard deviations of one reading below a latency limit that keep it in 19 of 20 new readings: both err."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTask:
    """What is searched for; with supernet and device all but the budget determine the search's id."""

    evaluations: int = DEFAULT_EVALUATIONS
    """Real evaluations in all, the designed set among them; a larger budget extends the same search."""
    design: int = DEFAULT_DESIGN
    batch_size: int = 8
    seed: int = 0
    method: Method = "hwnas"
    objectives: Objectives = field(default_factory=Objectives)
    constraints: Constraints = field(default_factory=Constraints)
    survey: int = DEFAULT_SURVEY
    """Networks whose accuracy in fp32 ``hwnas`` looks up beforehand; no device is asked for them."""
    screen: int = DEFAULT_SCREEN
    """Architectures whose accuracy in fp32 ``hwnas`` looks up before each batch; 0 for predictions alone."""
    finish_epochs: float | None = None
    """Epochs that finalists, and baselines beside them, are fine-tuned for before verification; 0 for none, None for
    as many as :class:`~nas.training.finish_settings.FinishSettings` chooses."""
    random_baseline: bool = False
    """Whether random candidates are evaluated, too, with the same budgets of evaluations and look-ups."""
    precisions: tuple[str, ...] | None = None
    """Precisions that units may have; None for those that the device's runtime executes natively."""

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "SearchTask":
        """A task from plain settings; missing ones get their defaults, unknown ones are ignored.

        Args:
            settings: fields by name; ``objectives`` as metric names, ``limits`` as
                ``{"max_latency_p95_ms": 8.0}``.

        Raises:
            UnknownNameError: for an unknown metric or limit.
            UsageError: for settings that cannot be.
        """
        plain = {one.name for one in fields(cls)} - {"objectives", "constraints", "precisions"}
        chosen = {name: value for name, value in settings.items() if name in plain}
        precisions = settings.get("precisions")
        task = cls(
            precisions=None if precisions is None else tuple(precisions),
            objectives=Objectives.from_names(settings.get("objectives") or Objectives().names),
            constraints=Constraints.from_limits(settings.get("limits") or {}),
            **chosen,
        )
        task.settings()
        task.finishing()
        return task

    def as_settings(self) -> dict[str, Any]:
        """The inverse of :meth:`from_settings`, as JSON values: what is stored with a search."""
        plain = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "constraints"}
        if self.finish_epochs == 0:  # as in searches that were stored before networks were finished
            del plain["finish_epochs"]
        if self.precisions is None:  # likewise
            del plain["precisions"]
        else:
            plain["precisions"] = list(self.precisions)
        return plain | {"objectives": list(self.objectives.names), "limits": self.constraints.as_limits()}

    def finishing(self) -> FinishSettings | None:
        """How finalists are finished; None where they ship as inherited.

        Raises:
            UsageError: for epochs that cannot be.
        """
        return FinishSettings.of_epochs(self.finish_epochs)

    def restriction(self, space: SearchSpace, profile: DeviceProfile) -> Restriction:
        """The part of a space that is searched for a device: what it executes natively, or what was asked for.

        Float is always a choice unless other precisions were asked for.

        Raises:
            UsageError: for a precision that the space does not have or the device does not run.
        """
        return requested_restriction(space, profile, self.precisions)

    def settings(self) -> SearchSettings:
        """The loop's settings, for the whole space.

        Raises:
            UsageError: for a budget or batch that is too small, or an unknown method.
        """
        if self.method in STAGED_METHODS and self.evaluations < MIN_STAGED_EVALUATIONS:
            raise UsageError(
                f"{self.method} spends half of its evaluations on each of two searches: give at least"
                f" {MIN_STAGED_EVALUATIONS} instead of {self.evaluations}."
            )
        return SearchSettings(
            evaluations=self.evaluations,
            batch_size=self.batch_size,
            seed=self.seed,
            method=self.method,
            objectives=self.objectives,
            constraints=self.constraints,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchRun:
    """A finished search and what its predictors were fitted with."""

    result: SearchResult
    latency: LatencyFitter
    known: KnownAccuracies | None
    """Accuracies known beside its own evaluations: from before it began, and looked up on the way."""
    finished: FinishedAccuracy | None = None
    """What pilots told of accuracies after finishing; None where nothing is finished, and for baselines."""
    unit_evaluations: int = 0
    """Networks with one quantized unit that sensitivities took, cached ones too; 0 if the search was finished."""

    @property
    def lookups(self) -> int:
        """Accuracies that it used beside those of its own evaluations, whoever counted them."""
        known = [] if self.known is None else [row.tobytes() for row in self.known.genotypes]
        pilots = [] if self.finished is None else [row.tobytes() for row in self.finished.pilots]
        return len({*known, *pilots} - {row.tobytes() for row in self.result.genotypes})


def search_id_of(task: SearchTask, supernet: StoredSupernet, profile: DeviceProfile) -> str:
    """Id of a task's search. It does not depend on the budget, so that running a task again resumes its search."""
    settings = {name: value for name, value in task.as_settings().items() if name != _BUDGET_FIELD}
    text = json.dumps([supernet.id, profile.id, profile.fingerprint, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def search(context: SearchContext, task: SearchTask, *, search_id: str, job_id: str | None = None) -> SearchRun:
    """Runs or resumes the search ``search_id`` until its budget is spent.

    Raises:
        UsageError: for settings that cannot be, or that differ from the stored search's.
        ProfileError: for a device of another host, or one that is not as its profile says.
        NasError: where nothing could be evaluated.
    """
    space, store = context.space, context.store
    restriction = task.restriction(space, context.profile)
    settings = replace(task.settings(), restriction=restriction)
    store.devices.put(context.profile)
    stored = store.searches.open(
        SearchSpec(
            id=search_id,
            profile_id=context.profile.id,
            supernet_id=context.supernet.id,
            space=context.supernet.space,
            settings=task.as_settings(),
            seed=task.seed,
            job_id=job_id,
        ),
        lease=context.lease,
    )
    if job_id is not None:
        stored = _begun_on_this_device(context, stored)
    check_measurable(context.device)
    fitter = latency_fitter(context.device, before=stored.created_at)
    screening = _screening(context, task, search_id)
    finished = _finished_accuracy(context, task)
    judged: dict[bytes, IntArray] = {}
    reduced = reduced_precisions(space, restriction)

    def losses(architectures: IntArray) -> FloatArray:
        judged.update((row.tobytes(), row) for row in architectures)
        return unit_losses(context, architectures, reduced)

    with evaluator(context) as real:
        result = run_search(
            SearchProblem(
                space=space,
                design=search_design(space, task, restriction),
                evaluator=real,
                fits=_fits(context, fitter, screening, finished),
                unit_losses=losses,
            ),
            StoreJournal(store, search_id, space, objectives=task.objectives, lease=context.lease),
            settings,
            on_generation=_reporter(context, task),
        )
    known = None if screening is None else screening.known
    if known is not None and result.lookups is not None:
        known = known.joined(result.lookups)
    return SearchRun(
        result=result,
        latency=fitter,
        known=known,
        finished=finished,
        unit_evaluations=unit_evaluations(space, list(judged.values()), reduced),
    )


def search_design(space: SearchSpace, task: SearchTask, restriction: Restriction) -> IntArray:
    """What a search evaluates first; a staged one, whose first half is in float, half as many."""
    if task.method in STAGED_METHODS:
        return designed_candidates(space, max(task.design // 2, 1), DESIGN_SEED, float_only(space))
    return designed_candidates(space, task.design, DESIGN_SEED, restriction)


def _begun_on_this_device(context: SearchContext, stored: StoredSearch) -> StoredSearch:
    """The search of a job; started again if the device changed since, so that no front mixes measurements.

    Searches of the command line have ids of their own for each state of a device; a job has one id.
    """
    profile = context.profile
    if not context.store.measurements.was_another_device(profile.id, profile.fingerprint, stored.created_at):
        return stored
    context.progress.say(
        f"{profile.id} has another processor, runtime or version than when search {stored.id} began: the search starts"
        f" again, with a new set of measurements; its {stored.evaluations} evaluations until now are not used."
    )
    return context.store.searches.restart(stored.id, lease=context.lease)


def fit_accuracy_to(context: SearchContext, rows: IntArray, accuracy: FloatArray) -> AccuracyPredictor:
    """The accuracy predictor of these readings alone."""
    return AccuracyPredictor.fit(context.space, rows, accuracy, seed=FIT_SEED)


def _fits(
    context: SearchContext, fitter: LatencyFitter, screening: Screening | None, finished: FinishedAccuracy | None
) -> PredictorFits:
    measurements = context.device.measurements()

    def fit_latency(rows: IntArray, latency_ms: FloatArray) -> LatencyPredictor:
        # Of these rows and what was known before, so that a resumed search fits what the interrupted one had fitted.
        return fitter.fit(rows, latency_ms, measurements.repeatability_of(rows), measurements.weights_of(rows))

    return PredictorFits(
        latency=fit_latency,
        accuracy=lambda rows, accuracy: fit_accuracy_to(context, rows, accuracy),
        screening=screening,
        finished=finished,
        latency_margin=lambda rows: LATENCY_MARGIN_STDS * measurements.repeatability_of(rows),
    )


def _finished_accuracy(context: SearchContext, task: SearchTask) -> FinishedAccuracy | None:
    """What ``hwnas`` learns from pilots; None where it finishes nothing, and for baselines, which learn nothing."""
    settings = task.finishing()
    if settings is None or task.method not in GUIDED_METHODS:
        return None
    from nas.workflows.finishing import finish_pilots  # noqa: PLC0415 - imports torch

    return finish_pilots(context, settings)


def _screening(context: SearchContext, task: SearchTask, search_id: str) -> Screening | None:
    """What ``hwnas`` knows beforehand, and learns on the way, of accuracies; None where it asks for neither.

    All that ``hwnas`` evaluated before the search began counts, on whatever device: what came later must
    not, or a resumed search would go another way than the interrupted one; and what baselines evaluated
    must not, or they would pay for the search that they are compared with.
    """
    if task.method not in GUIDED_METHODS or not (task.survey or task.screen):
        return None

    def evaluate(genotypes: IntArray) -> KnownAccuracies:
        return float_accuracies(context, genotypes, task="screening architectures")

    evaluated = evaluated_accuracies(context, before=context.store.searches.get(search_id).created_at)
    return Screening(
        known=evaluated.joined(survey(context, task.survey)),
        evaluate=evaluate,
        size=math.ceil(task.screen / _SCREENING_ROUNDS),
        rounds=_SCREENING_ROUNDS if task.screen else 0,
    )


def _reporter(context: SearchContext, task: SearchTask) -> Callable[[Generation, int], None]:
    def report(generation: Generation, done: int) -> None:
        good = [o for o in generation.outcomes if o.succeeded]
        best = max((o.accuracy_val for o in good), default=0.0)
        fastest = min((o.latency_p50_ms for o in good), default=0.0)
        context.progress.update(
            f"search on {context.profile.id}",
            done,
            task.evaluations,
            {"generation": str(generation.number), "best": f"{best:.1%}", "fastest": f"{fastest:.3f} ms"},
        )

    return report
