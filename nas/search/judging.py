"""Evaluation of a finished search: expected accuracies, limits with a margin, and the front.

A limit must hold when a network is measured again and on new images. So accuracies are
compared with what 9 of 10 candidates reach on new images (the lower end of the one-sided
90 % interval), and latencies with a factor that 19 of 20 new readings stay below
(one-sided 95 %, from the device's repeatability). Other metrics are compared as measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.metrics import ACCURACY, LATENCY_P50_MS, LATENCY_P95_MS, Constraints, Objectives, columns
from nas.search.metric_predictors import MetricPredictor
from nas.search.outcome import Outcome
from nas.search.pareto import non_dominated
from nas.search.posterior import AccuracyPosterior, AccuracyReadings, accuracy_posterior
from nas.search.proposal import left_out_prior
from predictors.errors import UnfitDataError
from predictors.known_accuracy import KnownAccuracies
from predictors.prediction import Prediction
from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluated:
    """Candidates with their real evaluations; ``genotypes`` has one row per outcome, all of which succeeded."""

    genotypes: IntArray
    outcomes: tuple[Outcome, ...]

    @classmethod
    def succeeded(cls, genotypes: IntArray, outcomes: Sequence[Outcome]) -> "Evaluated":
        """Those of all that have figures."""
        rows = [row for row, outcome in enumerate(outcomes) if outcome.succeeded]
        return cls(genotypes=genotypes[rows], outcomes=tuple(outcomes[row] for row in rows))

    def values(self, names: Sequence[str], accuracy: FloatArray) -> dict[str, FloatArray]:
        """Figures by metric name, each of shape ``(n,)``, with these accuracies."""
        return columns([outcome.metrics for outcome in self.outcomes], names) | {ACCURACY.name: accuracy}

    @property
    def readings(self) -> AccuracyReadings:
        """Their readings on the validation images."""
        return AccuracyReadings(
            accuracy=np.array([outcome.accuracy_val for outcome in self.outcomes], dtype=np.float64),
            images=np.array([outcome.images_val for outcome in self.outcomes], dtype=np.int64),
        )


def expected_accuracies(
    space: SearchSpace,
    fit: Callable[[IntArray, FloatArray], MetricPredictor],
    evaluated: Evaluated,
    *,
    known: KnownAccuracies | None = None,
    others: Evaluated | None = None,
    images_new: int | None = None,
) -> AccuracyPosterior:
    """The posterior of evaluated candidates, shape ``(n,)``, then of the others.

    Args:
        space: of the candidates.
        fit: fits an accuracy predictor, the prior, to genotypes and readings.
        evaluated: what the prior is fitted to; each has a prior that had not seen it.
        known: more that the prior is fitted to, read on the same images.
        others: candidates that the prior never sees.
        images_new: size of the set of new images that intervals are for.
    """
    own = KnownAccuracies(space=space, genotypes=evaluated.genotypes, accuracy=evaluated.readings.accuracy)
    training = own if known is None else own.joined(known)
    count = len(own.accuracy)
    rest = others or Evaluated(genotypes=own.genotypes[:0], outcomes=())
    try:
        base = fit(training.genotypes, training.accuracy)
        left_out = left_out_prior(base, training.accuracy)
        apart = base.predict(rest.genotypes) if len(rest.outcomes) else None
    except UnfitDataError:  # too few samples: readings stand for themselves
        left_out, apart = _no_prior(training.accuracy), None
    images = np.full(len(training.accuracy), evaluated.readings.images.max(initial=0))
    images[:count] = evaluated.readings.images
    prior = _concatenated(left_out, _no_prior(rest.readings.accuracy) if apart is None else apart)
    posterior = accuracy_posterior(
        prior,
        AccuracyReadings(
            accuracy=np.concatenate([training.accuracy, rest.readings.accuracy]),
            images=np.concatenate([images, rest.readings.images]),
        ),
        images_new=images_new,
    )
    asked = np.r_[:count, len(training.accuracy) : len(prior)]
    return posterior.take(asked)


def guaranteed(
    values: Mapping[str, FloatArray], accuracy: FloatArray, log_latency_margin: float
) -> dict[str, FloatArray]:
    """Values that limits are compared with; see the module.

    Args:
        values: measured, by metric name, each of shape ``(n,)``.
        accuracy: the lower ends, shape ``(n,)``.
        log_latency_margin: by how much log latencies may turn out higher.
    """
    factor = float(np.exp(log_latency_margin))
    slower = {name: values[name] * factor for name in (LATENCY_P50_MS.name, LATENCY_P95_MS.name) if name in values}
    return dict(values) | slower | {ACCURACY.name: accuracy}


def front_rows(values: Mapping[str, FloatArray], objectives: Objectives) -> IntArray:
    """Rows of ``values`` (by metric name, each of shape ``(n,)``) that no other row dominates."""
    return np.flatnonzero(non_dominated(objectives.losses(values)))


def nearest_message(constraints: Constraints, values: Mapping[str, FloatArray], what: str) -> str:
    """Describes in one sentence which constraints the closest network violates; no network may meet them all.

    Args:
        constraints: what was asked.
        values: guaranteed, by metric name, each of shape ``(n,)``.
        what: the networks, such as ``measured networks``.
    """
    row = constraints.nearest(values)
    missed = ", ".join(
        f"{one.constraint.metric.name} {one.nearest:.4g} ({one.constraint.name} {one.constraint.limit:.4g};"
        f" best of all {one.best:.4g})"
        for one in constraints.unmet(values, row)
    )
    count = len(next(iter(values.values())))
    return (
        f"none of {count} {what} keeps all limits with the margin that makes them hold when measured again;"
        f" the nearest has {missed}. Relax a limit or raise --evaluations."
    )


def check_metrics(evaluated: Evaluated, names: Sequence[str]) -> None:
    """Objectives and constraints need figures.

    Raises:
        UsageError: if outcomes lack a metric.
    """
    missing = [name for name in names if any(name not in outcome.metrics for outcome in evaluated.outcomes)]
    if missing:
        raise UsageError(f"the device's measurements have no {missing[0]}; measure again, or leave it out.")


def _no_prior(readings: FloatArray) -> Prediction:
    return Prediction(value=readings, low=readings - 1.0, high=readings + 1.0)


def _concatenated(first: Prediction, second: Prediction) -> Prediction:
    return Prediction(
        value=np.concatenate([first.value, second.value]),
        low=np.concatenate([first.low, second.low]),
        high=np.concatenate([first.high, second.high]),
    )
