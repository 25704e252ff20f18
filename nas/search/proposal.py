"""What to evaluate next: predictors fitted to everything so far, evolution on them, a choice.

The loop of LINAS (Cummings et al., 2022) with MSuNAS's choice of batches (Lu et al.,
2020). Where architectures can be screened, by their float accuracy with inherited
weights, no real evaluation is spent on one that was not: predictions alone would let
through whatever they overestimate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nas.search.evolution import EvolutionSettings, Scores, evolve, mutate
from nas.search.outcome import Limits, objectives
from nas.search.selection import choose_batch, unit_scale
from predictors.known_accuracy import KnownAccuracies, KnownAccuracyPredictor
from predictors.prediction import Prediction
from search_spaces.facts import CostFacts, FloatArray
from search_spaces.space import IntArray, SearchSpace

_POLICIES = 12
"""Policies tried with each known architecture, beside those that evolution found."""


class Predictor(Protocol):
    """What a proposal needs of a fitted predictor."""

    def predict(self, genotypes: IntArray) -> Prediction:
        """Values with 90 % intervals, each of shape ``(n,)``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """Float accuracies of architectures: cheap beside exporting, compiling and timing them."""

    known: KnownAccuracies
    """What is known of candidates, quantized or not, before the first screening."""
    evaluate: Callable[[IntArray], KnownAccuracies]
    """Unquantized genotypes, shape ``(n, genes)``, to what is known of them; failures are left out."""
    size: int
    """Architectures a round."""
    rounds: int
    """Before each batch, 0 or more; predictors learn from one what to screen in the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorFits:
    """How to fit both predictors to ``(genotypes, values)``; values as latency in ms, accuracy as fraction."""

    latency: Callable[[IntArray, FloatArray], Predictor]
    accuracy: Callable[[IntArray, FloatArray], Predictor]
    screening: Screening | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """Every completed trial: canonical genotypes and their measured figures, row by row."""

    genotypes: IntArray
    latency_p50_ms: FloatArray
    latency_p95_ms: FloatArray
    accuracy: FloatArray
    size_bytes: FloatArray


class Proposer:
    """Proposes one batch; deterministic in the archive, what was tried, and the generator."""

    def __init__(
        self,
        space: SearchSpace,
        fits: PredictorFits,
        archive: Archive,
        tried: Sequence[IntArray],
        *,
        limits: Limits,
        evolution: EvolutionSettings,
        rng: np.random.Generator,
    ) -> None:
        self._space = space
        self._fits = fits
        self._archive = archive
        self._tried = {row.tobytes() for row in tried}
        self._limits = limits
        self._evolution = evolution
        self._rng = rng
        self._facts = CostFacts(space)
        self._known = None if fits.screening is None else fits.screening.known
        self._screens = fits.screening is not None and fits.screening.rounds > 0
        self._latency = fits.latency(archive.genotypes, archive.latency_p50_ms)
        self._accuracy = self._fitted_accuracy()
        self._tail = float(np.median(archive.latency_p95_ms / archive.latency_p50_ms))
        self._size_ratio = float(np.median(archive.size_bytes / self._facts.column("weight_bytes", archive.genotypes)))

    def propose(self, count: int) -> IntArray:
        """The next batch, shape ``(count, genes)``: canonical, distinct, new."""
        if self._fits.screening is not None:
            for _ in range(self._fits.screening.rounds):
                self._screen(self._fits.screening)
        pool = self._pool(count)
        return pool[choose_batch(*self._beliefs(pool), count)]

    def _screen(self, screening: Screening) -> None:
        """Evaluates the architectures of the most promising unknown candidates, and learns from them."""
        assert self._known is not None  # known from the screening on
        pool = self._evolved()
        pool = pool[np.isnan(self._known.of_architecture(pool))]
        if not len(pool):
            return
        chosen = pool[choose_batch(*self._beliefs(pool), screening.size)]
        self._known = self._known.joined(screening.evaluate(np.unique(self._space.unquantized(chosen), axis=0)))
        self._accuracy = self._fitted_accuracy()

    def _fitted_accuracy(self) -> Predictor:
        measured = KnownAccuracies(
            space=self._space, genotypes=self._archive.genotypes, accuracy=self._archive.accuracy
        )
        if self._known is None:
            return self._fits.accuracy(measured.genotypes, measured.accuracy)
        known = measured.joined(self._known)
        return KnownAccuracyPredictor(self._fits.accuracy(known.genotypes, known.accuracy), known)

    def _evolved(self) -> IntArray:
        """Distinct candidates from an evolution on the predictions, and mutants of them; those within limits."""
        starts = [self._archive.genotypes] + ([] if self._known is None else [self._known.genotypes])
        start = np.unique(np.concatenate(starts), axis=0)
        population, _ = evolve(self._space, self._score, start, self._evolution, self._rng)
        return self._within_limits(
            np.unique(np.concatenate([population, mutate(self._space, population, self._rng)]), axis=0)
        )

    def _within_limits(self, pool: IntArray) -> IntArray:
        """Those that keep the limits as far as predicted, or the tenth that come nearest."""
        violations = self._score(pool).violations
        return pool[violations <= max(float(np.quantile(violations, 0.1)), 0.0)]

    def _pool(self, count: int) -> IntArray:
        """Candidates for real evaluation: new, within limits as far as predicted, ``count`` or more where there are."""
        pool = self._evolved()
        if self._known is not None and self._screens:
            pool = pool[np.isfinite(self._known.of_architecture(pool))]
            pool = self._within_limits(np.concatenate([pool, self._with_policies(self._known.genotypes)]))
        fresh = self._new_rows(pool)
        if len(fresh) < count:
            fresh = np.concatenate([fresh, self._new_rows(self._space.sample(50 * count, self._rng))])
        return fresh

    def _with_policies(self, genotypes: IntArray) -> IntArray:
        """Each candidate as it is, unquantized, and with random policies of every share, canonical."""
        columns = self._space.policy_columns
        rows = np.repeat(genotypes, _POLICIES, axis=0)
        share = self._rng.random((len(rows), 1))
        drawn = self._rng.integers(0, self._space.cardinalities[columns], size=(len(rows), len(columns)))
        rows[:, columns] = np.where(self._rng.random(drawn.shape) < share, drawn, 0)
        return self._space.canonicalize(np.concatenate([genotypes, self._space.unquantized(genotypes), rows]))

    def _new_rows(self, pool: IntArray) -> IntArray:
        rows = [row for row in np.unique(pool, axis=0) if row.tobytes() not in self._tried]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self._space.genes))

    def _score(self, genotypes: IntArray) -> Scores:
        time_ms, correct = self._latency.predict(genotypes).value, self._accuracy.predict(genotypes).value
        size = self._facts.column("weight_bytes", genotypes) * self._size_ratio
        return Scores(
            objectives=objectives(time_ms, correct),
            violations=self._limits.violations(time_ms * self._tail, size, correct),
        )

    def _beliefs(self, pool: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Drawn objectives of the pool, measured ones, and the reference, on a unit scale.

        One draw an architecture: its policies' errors are much the same, and of many independent
        draws the luckiest would win.
        """
        _, architecture = np.unique(self._space.unquantized(pool), axis=0, return_inverse=True)
        noise = self._rng.standard_normal((2, len(pool)))[:, architecture.ravel()]
        time_ms = self._latency.predict(pool).at(noise[0], log=True)
        correct = np.clip(self._accuracy.predict(pool).at(noise[1]), 0.0, 1.0)
        measured = objectives(self._archive.latency_p50_ms, self._archive.accuracy)
        return unit_scale(objectives(time_ms, correct), measured)
