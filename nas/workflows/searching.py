"""One search on one device: from a request to its evaluated candidates."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Final

from hw_profiles.profile import DeviceProfile
from nas.measuring.context import SearchContext
from nas.measuring.preparation_pool import PreparationPool
from nas.progress import Progress
from nas.search.budget import DEFAULT_EVALUATIONS
from nas.search.design import designed_candidates
from nas.search.loop import Generation, Method, SearchResult, SearchSettings, run_search
from nas.search.outcome import Limits
from nas.search.proposal import PredictorFits, Screening
from nas.search.store_journal import StoreJournal
from nas.store.leases import Lease
from nas.store.supernets import StoredSupernet
from nas.workflows.evaluating import DEFAULT_DESIGN, DESIGN_SEED, evaluator
from nas.workflows.latency_fitting import FIT_SEED, latency_fitter
from nas.workflows.survey import DEFAULT_SURVEY, evaluated_accuracies, float_accuracies, survey
from nas.workspace import Workspace, space_of
from predictors.accuracy import AccuracyPredictor
from predictors.known_accuracy import KnownAccuracies
from predictors.latency import LatencyPredictor
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray

_SCREENING_ROUNDS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """What is searched for; with supernet and device it determines the search's id."""

    evaluations: int = DEFAULT_EVALUATIONS
    """Real evaluations in all, the designed set among them."""
    design: int = DEFAULT_DESIGN
    batch_size: int = 8
    seed: int = 0
    method: Method = "hwnas"
    limits: Limits = field(default_factory=Limits)
    survey: int = DEFAULT_SURVEY
    """Networks whose accuracy in fp32 the predictor knows beforehand; no device is asked for them."""
    screen: int = 32
    """Architectures whose accuracy in fp32 is looked up before each batch; 0 for trust in predictions alone."""
    random_baseline: bool = False
    """Whether as many random candidates are evaluated, to compare with."""

    def settings(self) -> SearchSettings:
        """The loop's settings.

        Raises:
            UsageError: for a budget or batch below 1.
        """
        return SearchSettings(
            evaluations=self.evaluations,
            batch_size=self.batch_size,
            seed=self.seed,
            method=self.method,
            limits=self.limits,
        )


def search_id_of(request: SearchRequest, supernet: StoredSupernet, profile: DeviceProfile) -> str:
    """The same request is the same search, so that running it again continues it."""
    text = json.dumps([supernet.id, profile.id, profile.fingerprint, asdict(request)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def search(
    workspace: Workspace,
    supernet: StoredSupernet,
    profile: DeviceProfile,
    request: SearchRequest,
    pool: PreparationPool,
    progress: Progress,
    *,
    search_id: str,
    job_id: str | None = None,
    lease: Lease | None = None,
) -> SearchResult:
    """Runs or resumes the search ``search_id`` until its budget is spent.

    Raises:
        UsageError: for settings that cannot be, or that differ from the stored search's.
        NasError: where nothing could be evaluated.
    """
    space = space_of(supernet)
    settings = request.settings()
    workspace.store.devices.put(profile)
    workspace.store.searches.open(
        search_id=search_id,
        profile_id=profile.id,
        supernet_id=supernet.id,
        space=supernet.space,
        settings=asdict(request),
        seed=request.seed,
        job_id=job_id,
        lease=lease,
    )

    context = SearchContext(
        workspace=workspace, supernet=supernet, profile=profile, pool=pool, progress=progress, lease=lease
    )
    begun_at = workspace.store.searches.get(search_id).created_at
    fitter = latency_fitter(context.device, before=begun_at)
    measurements = context.device.measurements()

    def fit_latency_to(rows: IntArray, latency_ms: FloatArray) -> LatencyPredictor:
        # Of these rows and what was known before, so that a resumed search fits what the interrupted one had fitted.
        return fitter.fit(rows, latency_ms, measurements.repeatability_of(rows))

    def fit_accuracy_to(rows: IntArray, accuracy: FloatArray) -> AccuracyPredictor:
        return AccuracyPredictor.fit(space, rows, accuracy, seed=FIT_SEED)

    fits = PredictorFits(
        latency=fit_latency_to,
        accuracy=fit_accuracy_to,
        screening=_screening(workspace, supernet, pool, progress, request, search_id),
    )

    def report(generation: Generation, done: int) -> None:
        good = [o for o in generation.outcomes if o.succeeded]
        best = max((o.accuracy_val for o in good), default=0.0)
        fastest = min((o.latency_p50_ms for o in good), default=0.0)
        progress.update(
            f"search on {profile.id}",
            done,
            request.evaluations,
            {"generation": str(generation.number), "best": f"{best:.1%}", "fastest": f"{fastest:.3f} ms"},
        )

    with evaluator(context) as real:
        return run_search(
            space,
            designed_candidates(space, min(request.design, request.evaluations), DESIGN_SEED),
            real,
            StoreJournal(workspace.store, search_id, lease),
            fits,
            settings,
            on_generation=report,
        )


def _screening(
    workspace: Workspace,
    supernet: StoredSupernet,
    pool: PreparationPool,
    progress: Progress,
    request: SearchRequest,
    search_id: str,
) -> Screening | None:
    """What a search knows beforehand, and learns on the way, of accuracies; None where neither is asked for.

    All that was evaluated before it began counts, on whatever device: what came later must not, or a
    resumed search would go another way than the interrupted one.
    """
    if not request.survey and not request.screen:
        return None

    def evaluate(genotypes: IntArray) -> KnownAccuracies:
        return float_accuracies(workspace, supernet, pool, progress, genotypes, task="screening architectures")

    begun_at = workspace.store.searches.get(search_id).created_at
    evaluated = evaluated_accuracies(workspace, supernet, before=begun_at)
    return Screening(
        known=evaluated.joined(survey(workspace, supernet, pool, progress, request.survey)),
        evaluate=evaluate,
        size=math.ceil(request.screen / _SCREENING_ROUNDS),
        rounds=_SCREENING_ROUNDS if request.screen else 0,
    )
