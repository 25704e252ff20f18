"""Proposes the next batch: predictors fitted to all evaluations, evolution on them, a selection.

The loop of LINAS (Cummings et al., 2022) with MSuNAS's choice of batches (Lu et al.,
2020). Where architectures can be screened, by their float accuracy with inherited
weights, no real evaluation is spent on one that was not: predictions alone would let
through whatever they overestimate. Accuracies, screened ones too, are readings on a
finite set of images and count as their posterior says (:mod:`nas.search.posterior`). Where
networks are finished before they ship, what counts is the accuracy that they are
expected to have then (:mod:`nas.search.finished_accuracy`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, runtime_checkable

import numpy as np

from nas.metrics import ACCURACY, LATENCY_P50_MS, LATENCY_P95_MS, Constraint, Constraints, Objectives
from nas.search.evolution import EvolutionSettings, Scores, evolve, mutate
from nas.search.finished_accuracy import FinishedAccuracy, FinishedAccuracyPredictor
from nas.search.metric_predictors import (
    MetricPredictor,
    MetricPredictors,
    feasibility,
    loss_moments,
    needed_metrics,
)
from nas.search.posterior import AccuracyPosterior, AccuracyReadings, accuracy_posterior
from nas.search.restriction import Restriction
from nas.search.selection import choose_batch, unit_scale
from nas.search.study import Archive
from predictors.known_accuracy import BasePredictor, KnownAccuracies, KnownAccuracyPredictor
from predictors.prediction import Prediction
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

_POLICIES = 12
"""Policies tried with each known architecture, beside those that evolution found."""
_Z90_ONE_SIDED = 1.2816
_OWN_ERROR = 0.3
"""Share of a predicted standard deviation that counts as a candidate's own chance to be better than predicted. The
rest is a model's error that neighbours share: counted for each of thousands of candidates alone, the uncertain ones
would fill the batch. Chosen on recorded tables (``hwnas bench search``; a100 and zcu102)."""


@runtime_checkable
class CrossValidated(Protocol):
    """A fitted predictor with out-of-fold predictions of its training samples."""

    def cross_validated(self) -> Prediction:
        """Each sample's prediction by a model that had seen no form of its architecture, shape ``(n,)``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """Float accuracies of architectures: cheap beside exporting, compiling and timing them."""

    known: KnownAccuracies
    """What is known of candidates, quantized or not, before the first screening."""
    evaluate: Callable[[IntArray], KnownAccuracies]
    """Unquantized genotypes, shape ``(n, genes)``, to what is known of them; failures are left out."""
    size: int
    """Architectures per round."""
    rounds: int
    """Before each batch, 0 or more; predictors learn from one what to screen in the next."""


def _no_margin(genotypes: IntArray) -> float:  # noqa: ARG001 - the contract's argument
    return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictorFits:
    """How to fit both predictors to ``(genotypes, values)``; values as latency in ms, accuracy as fraction."""

    latency: Callable[[IntArray, FloatArray], MetricPredictor]
    accuracy: Callable[[IntArray, FloatArray], BasePredictor]
    screening: Screening | None = None
    finished: FinishedAccuracy | None = None
    """How accurate networks become before they ship; None where they ship with inherited weights."""
    latency_margin: Callable[[IntArray], float] = _no_margin
    """By how much log latencies must stay below a limit to keep it when measured again, from what was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalSettings:
    """Settings of proposals."""

    objectives: Objectives = field(default_factory=Objectives)
    constraints: Constraints = field(default_factory=Constraints)
    evolution: EvolutionSettings = field(default_factory=EvolutionSettings)
    candidates: IntArray | None = None
    """Canonical genotypes that may be proposed, shape ``(k, genes)``; None for the whole space."""
    restriction: Restriction = field(default_factory=Restriction)
    """The part of the space that proposals come from."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that every completed trial must have."""
        base = (LATENCY_P50_MS.name, ACCURACY.name)
        return tuple(dict.fromkeys([*base, *needed_metrics(self.objectives, self.constraints)]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """All evaluations and look-ups of a search."""

    archive: Archive
    tried: frozenset[bytes]
    """Rows of genotypes, evaluated or failed, as bytes."""
    lookups: KnownAccuracies | None = None
    """Accuracies looked up for earlier batches."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Proposal:
    """A batch, shape ``(count, genes)``, and the accuracies looked up to choose it."""

    genotypes: IntArray
    lookups: KnownAccuracies | None = None


class Proposer:
    """Proposes one batch; deterministic in the history and the generator."""

    def __init__(
        self,
        space: SearchSpace,
        fits: PredictorFits,
        history: History,
        settings: ProposalSettings,
        rng: np.random.Generator,
    ) -> None:
        self._space = space
        self._fits = fits
        self._archive = history.archive
        self._tried = history.tried
        self._settings = settings
        self._rng = rng
        self._names = needed_metrics(settings.objectives, settings.constraints)
        self._known = _join(None if fits.screening is None else fits.screening.known, history.lookups)
        self._looked_up: KnownAccuracies | None = None
        latency = fits.latency(self._archive.genotypes, self._archive.metrics[LATENCY_P50_MS.name])
        self._fit_accuracy()
        self._predictors = MetricPredictors.fit(
            space,
            latency,
            self._accuracy,
            (self._archive.genotypes, self._archive.metrics),
            self._names,
        )

    def propose(self, count: int) -> Proposal:
        """The next batch: canonical, distinct, new."""
        screening = self._fits.screening
        for _ in range(0 if screening is None else screening.rounds):
            self._screen(screening)
        pool = self._pool(count)
        if not len(pool):
            return Proposal(genotypes=pool, lookups=self._looked_up)
        return Proposal(genotypes=pool[self._choose(pool, count)], lookups=self._looked_up)

    # --- what is known -----------------------------------------------------------

    def _fit_accuracy(self) -> None:
        """Fits the accuracy predictor to all readings, and reads them as posteriors."""
        readings = KnownAccuracies(
            space=self._space, genotypes=self._archive.genotypes, accuracy=self._archive.metrics[ACCURACY.name]
        )
        if self._known is not None:
            readings = readings.joined(self._known)
        base = self._fits.accuracy(readings.genotypes, readings.accuracy)
        posterior = self._posterior(base, readings)
        self._expected = replace(readings, accuracy=posterior.expected)
        finished = self._fits.finished
        own = 0.0 if finished is None else finished.std
        self._limit_margin = _Z90_ONE_SIDED * float(np.hypot(np.median(posterior.total_std), own))
        inherited: MetricPredictor = base if self._known is None else KnownAccuracyPredictor(base, self._expected)
        self._accuracy: MetricPredictor = (
            inherited if finished is None else FinishedAccuracyPredictor(inherited=inherited, finished=finished)
        )

    def _posterior(self, base: BasePredictor, readings: KnownAccuracies) -> AccuracyPosterior:
        # What was looked up was counted on the same images as what was evaluated.
        images = np.full(len(readings.accuracy), self._archive.images_val.max(initial=0))
        images[: len(self._archive.images_val)] = self._archive.images_val
        read = AccuracyReadings(accuracy=readings.accuracy, images=images)
        return accuracy_posterior(left_out_prior(base, readings.accuracy), read)

    def _screen(self, screening: Screening | None) -> None:
        """Looks up the architectures of the most promising unknown candidates, and learns from them."""
        assert screening is not None
        assert self._known is not None  # known from the screening on
        pool = self._evolved()
        pool = pool[np.isnan(self._known.of_architecture(pool))]
        if not len(pool):
            return
        chosen = pool[self._choose(pool, screening.size)]
        found = screening.evaluate(np.unique(self._space.unquantized(chosen), axis=0))
        self._looked_up = _join(self._looked_up, found)
        self._known = self._known.joined(found)
        self._fit_accuracy()
        self._predictors = replace(self._predictors, accuracy=self._accuracy)

    # --- candidates --------------------------------------------------------------

    def _evolved(self) -> IntArray:
        """Distinct candidates from an evolution on the predictions, and mutants of them; those within limits."""
        if self._settings.candidates is not None:
            return self._within_limits(self._settings.candidates)
        starts = [self._archive.genotypes] + ([] if self._known is None else [self._known.genotypes])
        start = np.unique(np.concatenate(starts), axis=0)
        population, _ = evolve(
            self._space, self._score, start, self._settings.evolution, self._rng, repair=self._allowed
        )
        mutants = self._allowed(mutate(self._space, population, self._rng))
        return self._within_limits(np.unique(np.concatenate([population, mutants]), axis=0))

    def _allowed(self, genotypes: IntArray) -> IntArray:
        return self._settings.restriction.project(self._space, genotypes)

    def _within_limits(self, pool: IntArray) -> IntArray:
        """Those that keep the limits as far as predicted, or the tenth that come nearest."""
        if not self._settings.constraints:
            return pool
        violations = self._score(pool).violations
        return pool[violations <= max(float(np.quantile(violations, 0.1)), 0.0)]

    def _pool(self, count: int) -> IntArray:
        """Candidates for real evaluation: new, within limits as far as predicted, ``count`` or more where there are."""
        pool = self._evolved()
        screening = self._fits.screening
        if self._known is not None and screening is not None and screening.rounds:
            pool = pool[np.isfinite(self._known.of_architecture(pool))]
            known = self._known.genotypes
            if self._settings.restriction.architectures is not None:
                known = np.unique(self._allowed(known), axis=0)
            pool = self._within_limits(np.concatenate([pool, self._allowed(self._with_policies(known))]))
        fresh = self._new_rows(pool)
        if len(fresh) < count:
            drawn = self._settings.candidates
            more = self._allowed(self._space.sample(50 * count, self._rng)) if drawn is None else drawn
            fresh = self._new_rows(np.concatenate([fresh, more]))
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

    # --- judgement ---------------------------------------------------------------

    def _score(self, genotypes: IntArray) -> Scores:
        predictions = self._predictors.predict(genotypes, self._names)
        values = {name: prediction.value for name, prediction in predictions.items()}
        constraints = self._tightened()
        violations = constraints.violations(values) if constraints else np.zeros(len(genotypes))
        return Scores(objectives=self._settings.objectives.losses(values), violations=violations)

    def _choose(self, pool: IntArray, count: int) -> IntArray:
        """Rows of the pool by expected gains, times the probability that the constraints hold."""
        predictions = self._predictors.predict(pool, self._names)
        moments = [
            loss_moments(objective.metric, predictions[objective.metric.name])
            for objective in self._settings.objectives.items
        ]
        measured = self._measured()
        low, width, reference = unit_scale(measured)
        mean = (np.stack([mean for mean, _ in moments], axis=1) - low) / width
        std = _OWN_ERROR * np.stack([std for _, std in moments], axis=1) / width
        constraints = self._tightened()
        weights = feasibility(constraints, predictions) if constraints else None
        return choose_batch(mean, std, (measured - low) / width, reference, count, weights)

    def _measured(self) -> FloatArray:
        """Losses of what was evaluated, accuracies as expected by the posterior and after finishing."""
        values = dict(self._archive.metrics)
        genotypes, expected = self._archive.genotypes, self._expected.of(self._archive.genotypes)
        finished = self._fits.finished
        values[ACCURACY.name] = expected if finished is None else finished.of(genotypes, expected)
        return self._settings.objectives.losses(values)

    def _tightened(self) -> Constraints:
        """Constraints that leave a margin for what a new measurement and new images will say."""
        latency_margin = self._fits.latency_margin(self._archive.genotypes)
        items = []
        for constraint in self._settings.constraints.items:
            limit = constraint.limit
            if constraint.metric == ACCURACY:
                limit = min(limit + self._limit_margin, 1.0)
            elif constraint.metric in (LATENCY_P50_MS, LATENCY_P95_MS):
                limit *= float(np.exp(-latency_margin))
            items.append(Constraint(metric=constraint.metric, limit=limit))
        return Constraints(tuple(items))


def left_out_prior(base: MetricPredictor, readings: FloatArray) -> Prediction:
    """Leave-one-out predictions for readings of shape ``(n,)``.

    A predictor without out-of-fold predictions gives a flat prior: readings stand.
    """
    if isinstance(base, CrossValidated):
        return base.cross_validated()
    return Prediction(value=readings, low=readings - 1.0, high=readings + 1.0)


def _join(known: KnownAccuracies | None, more: KnownAccuracies | None) -> KnownAccuracies | None:
    if known is None or more is None:
        return known or more
    return known.joined(more)
