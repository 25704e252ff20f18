"""An Optuna sampler whose proposals come from predictors fitted to the study's trials.

This is the loop of LINAS (Cummings et al., 2022) with MSuNAS's choice of batches (Lu et
al., 2020): fit the predictors to every trial so far, evolve whole populations on the
predictions, and ask for the candidates that should add most to the measured front.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.search.evolution import EvolutionSettings, Scores, evolve, mutate
from nas.search.outcome import Limits, objectives
from nas.search.selection import choose_batch
from predictors.prediction import Prediction
from search_spaces.errors import NasError
from search_spaces.facts import CostFacts, FloatArray
from search_spaces.space import IntArray, SearchSpace

_Z90 = 1.645
SIZE_ATTRIBUTE = "size_bytes"
P95_ATTRIBUTE = "latency_p95_ms"


class Predictor(Protocol):
    """What the sampler needs of a fitted predictor."""

    def predict(self, genotypes: IntArray) -> Prediction:
        """Values with 90 % intervals, each of shape ``(n,)``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorFits:
    """How to fit both predictors to ``(genotypes, values)``; values as latency in ms, accuracy as fraction."""

    latency: Callable[[IntArray, FloatArray], Predictor]
    accuracy: Callable[[IntArray, FloatArray], Predictor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Every completed trial: canonical genotypes and their measured figures, row by row."""

    genotypes: IntArray
    latency_p50_ms: FloatArray
    latency_p95_ms: FloatArray
    accuracy: FloatArray
    size_bytes: FloatArray


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
        self._facts = CostFacts(space)
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
            self._waiting = list(self.propose(archive_of(self._space, complete), tried))
        genotype = self._waiting.pop(0)
        return {gene.name: int(value) for gene, value in zip(self._space.genes, genotype, strict=True)}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:  # noqa: ANN401 - the type of Optuna's contract
        """Never needed, since the relative space holds every gene."""
        del study, trial, param_distribution
        raise NasError(f"parameter {param_name!r} is not a gene of {self._space.name}.")

    def propose(self, archive: Archive, tried: Sequence[IntArray]) -> IntArray:
        """The next batch, shape ``(batch, genes)``: canonical, distinct, none of ``tried``."""
        latency = self._fits.latency(archive.genotypes, archive.latency_p50_ms)
        accuracy = self._fits.accuracy(archive.genotypes, archive.accuracy)
        tail = float(np.median(archive.latency_p95_ms / archive.latency_p50_ms))
        weights = self._facts.column("weight_bytes", archive.genotypes)
        size_ratio = float(np.median(archive.size_bytes / weights))

        def score(genotypes: IntArray) -> Scores:
            time_ms, correct = latency.predict(genotypes).value, accuracy.predict(genotypes).value
            size = self._facts.column("weight_bytes", genotypes) * size_ratio
            return Scores(
                objectives=objectives(time_ms, correct),
                violations=self._limits.violations(time_ms * tail, size, correct),
            )

        population, _ = evolve(self._space, score, np.unique(archive.genotypes, axis=0), self._evolution, self._rng)
        pool = self._new_rows(np.concatenate([population, mutate(self._space, population, self._rng)]), tried)
        violations = score(pool).violations
        pool = pool[violations <= max(float(np.quantile(violations, 0.1)), 0.0)]
        chosen = choose_batch(*self._beliefs(pool, archive, latency, accuracy), self._batch_size)
        return pool[chosen]

    def _beliefs(
        self, pool: IntArray, archive: Archive, latency: Predictor, accuracy: Predictor
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Drawn objectives of the pool, measured ones, and the reference, on a unit scale."""
        time_ms, correct = latency.predict(pool), accuracy.predict(pool)
        log_sigma = np.log(time_ms.high / time_ms.low) / (2 * _Z90)
        correct_sigma = (correct.high - correct.low) / (2 * _Z90)
        noise = self._rng.standard_normal((2, len(pool)))
        drawn = objectives(
            time_ms.value * np.exp(noise[0] * log_sigma), np.clip(correct.value + noise[1] * correct_sigma, 0, 1)
        )
        measured = objectives(archive.latency_p50_ms, archive.accuracy)
        low, high = measured.min(axis=0), measured.max(axis=0)
        width = np.where(high > low, high - low, 1.0)
        reference = np.full(2, 1.1)
        return (drawn - low) / width, (measured - low) / width, reference

    def _new_rows(self, pool: IntArray, tried: Sequence[IntArray]) -> IntArray:
        """Distinct rows that were not tried; random candidates fill up where too few are left."""
        seen = {row.tobytes() for row in tried}
        fresh = [row for row in np.unique(pool, axis=0) if row.tobytes() not in seen]
        if len(fresh) < self._batch_size:
            extra = np.unique(self._space.sample(50 * self._batch_size, self._rng), axis=0)
            fresh += [row for row in extra if row.tobytes() not in seen]
        return np.array(fresh, dtype=np.int64)
