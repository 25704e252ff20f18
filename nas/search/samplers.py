"""Optuna samplers over an hwnas search space; see ``examples/optuna_study.py``.

Each works in any ``optuna.create_study`` whose directions are those of its objectives,
with ``study.optimize`` or ask and tell, on any storage. Parameters are
:func:`nas.search.study.distributions`: an integer per gene, the index of its choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.metrics import ACCURACY, LATENCY_P50_MS, Constraints, Objectives
from nas.search.design import designed_candidates, promising_candidates
from nas.search.evolution import EvolutionSettings, Scores, evolve, preference
from nas.search.metric_predictors import MetricPredictors, needed_metrics
from nas.search.proposal import History, PredictorFits, Proposal, ProposalSettings, Proposer
from nas.search.restriction import Restriction
from nas.search.study import (
    archive_from_trials,
    check_directions,
    distributions,
    genotype_from_params,
    params_from_genotype,
)
from predictors.accuracy import AccuracyPredictor
from predictors.known_accuracy import KnownAccuracies
from predictors.latency import LatencyPredictor
from search_spaces.errors import NasError, UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

_FIT_SEED = 0


class SpaceExhaustedError(UsageError):
    """A search that has tried everything that it may propose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerSettings:
    """Settings of a sampler.

    Raises:
        UsageError: for a batch below 1 or a startup below 0.
    """

    objectives: Objectives = field(default_factory=Objectives)
    constraints: Constraints = field(default_factory=Constraints)
    startup: int = 14
    """Trials before the first fit: a designed set (:mod:`nas.search.design`), or random ones for ``linas``."""
    batch_size: int = 8
    """Trials between two fits."""
    seed: int = 0
    evolution: EvolutionSettings = field(default_factory=EvolutionSettings)
    candidates: IntArray | None = None
    """Canonical genotypes that may be proposed, shape ``(k, genes)``; None for the whole space."""
    restriction: Restriction = field(default_factory=Restriction)
    """The part of the space that proposals come from."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.startup < 0:
            raise UsageError(
                f"a sampler with batches of {self.batch_size} after {self.startup} trials;"
                " give a batch of at least 1 and a startup of at least 0."
            )

    @property
    def proposal(self) -> ProposalSettings:
        """The settings of one proposal."""
        return ProposalSettings(
            objectives=self.objectives,
            constraints=self.constraints,
            evolution=self.evolution,
            candidates=self.candidates,
            restriction=self.restriction,
        )


def default_fits(space: SearchSpace) -> PredictorFits:
    """Predictors fitted to the trials alone."""

    def fit_latency(rows: IntArray, latency_ms: FloatArray) -> LatencyPredictor:
        return LatencyPredictor.fit(space, rows, latency_ms, seed=_FIT_SEED)

    def fit_accuracy(rows: IntArray, accuracy: FloatArray) -> AccuracyPredictor:
        return AccuracyPredictor.fit(space, rows, accuracy, seed=_FIT_SEED)

    return PredictorFits(latency=fit_latency, accuracy=fit_accuracy)


class BatchSampler(BaseSampler):
    """A sampler that chooses whole batches of new candidates; the first ``ask`` of a batch does the work.

    Deterministic in its settings and the trials so far.
    """

    def __init__(self, space: SearchSpace, settings: SamplerSettings | None = None) -> None:
        self.space = space
        self.settings = settings or SamplerSettings()
        self._waiting: list[IntArray] = []

    def start(self, study: Study) -> IntArray:
        """Candidates before anything can be learned, shape ``(startup, genes)``."""
        raise NotImplementedError

    def propose(self, history: History, count: int, rng: np.random.Generator) -> IntArray:
        """The next batch, shape ``(count, genes)``."""
        raise NotImplementedError

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every gene, always: the genotype has a fixed length."""
        del study, trial
        return distributions(self.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next candidate of the batch."""
        del trial, search_space
        check_directions(study, self.settings.objectives)
        if not self._waiting:
            self._waiting = list(self._next_batch(study))
        return params_from_genotype(self.space, self._waiting.pop(0))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:  # noqa: ANN401 - the type of Optuna's contract
        """Never needed, since the relative space holds every gene."""
        del study, trial, param_distribution
        raise NasError(f"parameter {param_name!r} is not a gene of {self.space.name}.")

    def _next_batch(self, study: Study) -> IntArray:
        trials = [trial for trial in study.get_trials(deepcopy=False) if _is_whole(self.space, trial.params)]
        tried = frozenset(genotype_from_params(self.space, trial.params).tobytes() for trial in trials)
        first = [row for row in self.start(study) if row.tobytes() not in tried]
        if first and len(trials) < self.settings.startup:
            return np.array(first[: self.settings.startup - len(trials)], dtype=np.int64)
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        if not complete:
            raise NasError("no evaluation has succeeded yet, so there is nothing to predict from; see the failures.")
        proposal = self.settings.proposal
        archive = archive_from_trials(self.space, complete, proposal.objectives, proposal.metrics)
        rng = np.random.default_rng([self.settings.seed, len(trials)])
        batch = self.propose(History(archive=archive, tried=tried), self.settings.batch_size, rng)
        if not len(batch):
            raise SpaceExhaustedError(f"nothing new to propose after {len(trials)} trials: the space is exhausted.")
        return batch


class GuidedSampler(BatchSampler):
    """The hwnas method: evolution on predictions, batches by hypervolume gain; see :mod:`nas.search.proposal`."""

    def __init__(
        self,
        space: SearchSpace,
        fits: PredictorFits | None = None,
        settings: SamplerSettings | None = None,
        *,
        lookups: KnownAccuracies | None = None,
    ) -> None:
        """Makes a sampler.

        Args:
            space: the space searched.
            fits: how predictors are fitted; to the trials alone by default.
            settings: objectives, constraints, batch, seed.
            lookups: accuracies looked up earlier in this study; needed to resume one that screens.
        """
        super().__init__(space, settings)
        self._fits = fits or default_fits(space)
        self._known = lookups
        self.looked_up: KnownAccuracies | None = None
        """Accuracies looked up for the latest batch."""

    def start(self, study: Study) -> IntArray:
        """The designed set: corners and a spread between; among given candidates, what cost facts promise."""
        del study
        if self.settings.candidates is not None:
            return promising_candidates(self.space, self.settings.candidates, self.settings.startup, self.settings.seed)
        return designed_candidates(self.space, self.settings.startup, self.settings.seed, self.settings.restriction)

    def propose(self, history: History, count: int, rng: np.random.Generator) -> IntArray:
        """See :class:`nas.search.proposal.Proposer`."""
        history = History(archive=history.archive, tried=history.tried, lookups=self._known)
        found: Proposal = Proposer(self.space, self._fits, history, self.settings.proposal, rng).propose(count)
        self.looked_up = found.lookups
        if found.lookups is not None:
            self._known = found.lookups if self._known is None else self._known.joined(found.lookups)
        return found.genotypes


class LinasSampler(BatchSampler):
    """The published loop (LINAS, Cummings et al., 2022), our baseline.

    Random start; predictors refitted to the whole archive; NSGA-II on their predictions from a
    random population; the best of its last population that are new, by rank and crowding. No
    uncertainty, no screening. The predictors are ours, so that only the search differs.
    """

    def __init__(
        self, space: SearchSpace, fits: PredictorFits | None = None, settings: SamplerSettings | None = None
    ) -> None:
        """Makes a sampler; see :class:`GuidedSampler`."""
        super().__init__(space, settings)
        self._fits = fits or default_fits(space)

    def start(self, study: Study) -> IntArray:
        """Random candidates."""
        del study
        rng = np.random.default_rng(self.settings.seed)
        if self.settings.candidates is not None:
            return rng.permutation(self.settings.candidates)[: self.settings.startup]
        return self.settings.restriction.project(self.space, self.space.sample(self.settings.startup, rng))

    def propose(self, history: History, count: int, rng: np.random.Generator) -> IntArray:
        """One inner evolution."""
        archive, settings = history.archive, self.settings
        names = needed_metrics(settings.objectives, settings.constraints)
        predictors = MetricPredictors.fit(
            self.space,
            self._fits.latency(archive.genotypes, archive.metrics[LATENCY_P50_MS.name]),
            self._fits.accuracy(archive.genotypes, archive.metrics[ACCURACY.name]),
            (archive.genotypes, archive.metrics),
            names,
        )

        def score(genotypes: IntArray) -> Scores:
            values = {name: one.value for name, one in predictors.predict(genotypes, names).items()}
            violations = settings.constraints.violations(values)
            return Scores(objectives=settings.objectives.losses(values), violations=violations)

        if settings.candidates is None:
            none = np.empty((0, len(self.space.genes)), dtype=np.int64)
            population, scores = evolve(self.space, score, none, settings.evolution, rng, repair=self._allowed)
        else:
            population, scores = settings.candidates, score(settings.candidates)
        ordered = population[preference(scores)]
        return np.array([row for row in ordered if row.tobytes() not in history.tried][:count], dtype=np.int64)

    def _allowed(self, genotypes: IntArray) -> IntArray:
        return self.settings.restriction.project(self.space, genotypes)


class SpreadSampler(BaseSampler):
    """Random candidates of every size and share of quantized units (``SearchSpace.sample_spread``).

    With ``candidates``, canonical genotypes of shape ``(k, genes)``, uniform draws from these.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0, candidates: IntArray | None = None) -> None:
        self.space = space
        self._candidates = candidates
        self._rng = np.random.default_rng(seed)

    def reseed_rng(self) -> None:
        """Reseeds; Optuna calls it in each parallel worker."""
        self._rng = np.random.default_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every gene."""
        del study, trial
        return distributions(self.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """A draw."""
        del study, trial, search_space
        if self._candidates is not None:
            return params_from_genotype(self.space, self._candidates[self._rng.integers(len(self._candidates))])
        return params_from_genotype(self.space, self.space.sample_spread(1, self._rng)[0])

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:  # noqa: ANN401 - the type of Optuna's contract
        """Never needed, since the relative space holds every gene."""
        del study, trial, param_distribution
        raise NasError(f"parameter {param_name!r} is not a gene of {self.space.name}.")


def _is_whole(space: SearchSpace, params: Mapping[str, Any]) -> bool:
    return all(gene.name in params for gene in space.genes)
