"""Predictions for a front's members by predictors that had not seen their verification.

The predictors are those that the search ended with, frozen before verification. A
candidate that they were fitted to is predicted by cross-validation, by models that had
not seen it.
"""

from dataclasses import dataclass

import numpy as np

from nas.measuring.context import SearchContext
from nas.metrics import LATENCY_P50_MS, LATENCY_P95_MS
from nas.search.judging import Evaluated, expected_accuracies
from nas.search.posterior import AccuracyPosterior
from nas.workflows.searching import SearchRun, fit_accuracy_to
from predictors.prediction import Prediction
from predictors.tail_latency import TailLatency
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemberPredictions:
    """Of candidates in one order; arrays of shape ``(n,)``."""

    latency_p50_ms: Prediction
    latency_p95_ms: Prediction


def predict_latencies(context: SearchContext, run: SearchRun, genotypes: IntArray) -> MemberPredictions:
    """p50 and p95 of canonical genotypes, shape ``(n, genes)``."""
    evaluated = Evaluated.succeeded(run.result.genotypes, run.result.outcomes)
    p50_ms = np.array([outcome.metrics[LATENCY_P50_MS.name] for outcome in evaluated.outcomes])
    p95_ms = np.maximum(p50_ms, [outcome.metrics[LATENCY_P95_MS.name] for outcome in evaluated.outcomes])
    known = context.device.measurements()
    repeatability, weights = known.repeatability_of(evaluated.genotypes), known.weights_of(evaluated.genotypes)
    predictor = run.latency.fit(evaluated.genotypes, p50_ms, repeatability, weights)
    earlier_rows, earlier_ms, _ = run.latency.earlier.without(evaluated.genotypes)
    training = np.concatenate([evaluated.genotypes, earlier_rows])
    left_out = predictor.cross_validated(np.concatenate([p50_ms, earlier_ms]))
    seen = {row.tobytes(): number for number, row in enumerate(training)}
    plain = predictor.predict(genotypes)
    value, low, high = plain.value.copy(), plain.low.copy(), plain.high.copy()
    tails: list[Prediction] = []
    for row, genotype in enumerate(genotypes):
        number = seen.get(genotype.tobytes())
        if number is not None:
            value[row], low[row], high[row] = left_out.value[number], left_out.low[number], left_out.high[number]
        own = _one(value, low, high, row)
        others = np.arange(len(p50_ms)) != (-1 if number is None else number)
        tails.append(TailLatency.fit(p50_ms[others], p95_ms[others]).predict(own) if others.any() else own)
    return MemberPredictions(
        latency_p50_ms=Prediction(value=value, low=low, high=high),
        latency_p95_ms=Prediction(
            value=np.concatenate([tail.value for tail in tails]),
            low=np.concatenate([tail.low for tail in tails]),
            high=np.concatenate([tail.high for tail in tails]),
        ),
    )


def search_accuracies(context: SearchContext, run: SearchRun, others: Evaluated | None = None) -> AccuracyPosterior:
    """Expected accuracies of the search's succeeded candidates, in order, then of others that it had not seen."""
    return expected_accuracies(
        context.space,
        lambda rows, accuracy: fit_accuracy_to(context, rows, accuracy),
        Evaluated.succeeded(run.result.genotypes, run.result.outcomes),
        known=run.known,
        others=others,
    )


def _one(value: FloatArray, low: FloatArray, high: FloatArray, row: int) -> Prediction:
    return Prediction(value=value[row : row + 1], low=low[row : row + 1], high=high[row : row + 1])
