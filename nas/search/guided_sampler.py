"""An Optuna sampler whose proposals come from predictors fitted to the study's trials."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.search.evolution import EvolutionSettings
from nas.search.outcome import Limits
from nas.search.proposal import Archive, PredictorFits, Proposer
from search_spaces.errors import NasError
from search_spaces.space import IntArray, SearchSpace

SIZE_ATTRIBUTE = "size_bytes"
P95_ATTRIBUTE = "latency_p95_ms"


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """One integer parameter a gene: the index of its choice."""
    return {gene.name: IntDistribution(0, len(gene.choices) - 1) for gene in space.genes}


def genotype_of(space: SearchSpace, params: Mapping[str, Any]) -> IntArray:
    """A trial's parameters as a canonical genotype, shape ``(genes,)``."""
    return space.canonical_row(np.array([params[gene.name] for gene in space.genes], dtype=np.int64))


def archive_of(space: SearchSpace, trials: Sequence[FrozenTrial]) -> Archive:
    """The completed trials' figures."""
    rows = [genotype_of(space, trial.params) for trial in trials]
    values = np.array([trial.values for trial in trials], dtype=np.float64).reshape(len(trials), 2)
    return Archive(
        genotypes=np.array(rows, dtype=np.int64).reshape(len(rows), len(space.genes)),
        latency_p50_ms=values[:, 0],
        latency_p95_ms=np.array([trial.user_attrs[P95_ATTRIBUTE] for trial in trials], dtype=np.float64),
        accuracy=values[:, 1],
        size_bytes=np.array([trial.user_attrs[SIZE_ATTRIBUTE] for trial in trials], dtype=np.float64),
    )


class GuidedEvolutionSampler(BaseSampler):
    """Proposes batches chosen by predictors; deterministic in its seed and the trials so far.

    The first ``ask`` of a batch fits, evolves and chooses; the next ones hand out the
    rest of the batch. Studies have two directions: latency down, accuracy up.
    """

    def __init__(
        self,
        space: SearchSpace,
        fits: PredictorFits,
        *,
        batch_size: int,
        seed: int,
        limits: Limits | None = None,
        evolution: EvolutionSettings | None = None,
    ) -> None:
        self._space = space
        self._fits = fits
        self._batch_size = batch_size
        self._limits = limits or Limits()
        self._evolution = evolution or EvolutionSettings()
        self._rng = np.random.default_rng(seed)
        self._waiting: list[IntArray] = []

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Every gene, always: the genotype has a fixed length."""
        del study, trial
        return distributions(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next candidate of the batch."""
        del trial, search_space
        if not self._waiting:
            trials = study.get_trials(deepcopy=False)
            complete = [t for t in trials if t.state == TrialState.COMPLETE]
            if not complete:
                raise NasError(
                    "no evaluation has succeeded yet, so there is nothing to predict from; see the failures."
                )
            tried = [genotype_of(self._space, t.params) for t in trials if t.params]
            proposer = Proposer(
                self._space,
                self._fits,
                archive_of(self._space, complete),
                tried,
                limits=self._limits,
                evolution=self._evolution,
                rng=self._rng,
            )
            self._waiting = list(proposer.propose(self._batch_size))
        genotype = self._waiting.pop(0)
        return {gene.name: int(value) for gene, value in zip(self._space.genes, genotype, strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:  # noqa: ANN401 - the type of Optuna's contract
        """Never needed, since the relative space holds every gene."""
        del study, trial, param_distribution
        raise NasError(f"parameter {param_name!r} is not a gene of {self._space.name}.")
