"""Predictions of all metrics of a search, fitted to its evaluations.

Latency (p50) and accuracy have predictors of their own; p95 follows from the predicted
p50 (:class:`predictors.tail_latency.TailLatency`), and what an artifact costs in bytes
and loading time from cost facts (:class:`CostModel`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from scipy import optimize
from scipy.special import ndtr

from nas.metrics import ACCURACY, LATENCY_P50_MS, LATENCY_P95_MS, Constraints, Metric, Objectives
from predictors.intervals import conformal_quantile
from predictors.prediction import Prediction
from predictors.tail_latency import TailLatency
from search_spaces.facts import FACTS, CostFacts, FloatArray
from search_spaces.space import IntArray, SearchSpace

_Z90: Final = 1.645
_SMALLEST_STD: Final = 1e-9

_COST_FACTS: Final = ("weight_bytes", "parameters", "peak_activation_bytes", "activation_bytes", "kernels")
"""What an artifact's size, memory and loading time add up from, beside a constant."""
_PENALTY: Final = 1e-3
"""Of costs per sample, where a fact's mean share of the value is 1: decides where samples do not."""
_SMALLEST_LOG_ERROR: Final = 0.005


class MetricPredictor(Protocol):
    """A fitted predictor of one metric."""

    def predict(self, genotypes: IntArray) -> Prediction:
        """Values with 90 % intervals, each of shape ``(n,)``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostModel:
    """A linear model of an artifact's metric: cost facts with non-negative coefficients, and a constant.

    A file holds weights and a description of each operator; memory holds weights and
    activations; loading visits each of them: so none of these costs is negative. Errors
    are relative.
    """

    facts: CostFacts
    costs: FloatArray
    """Per fact of the model and for the constant, in the metric's unit per unit of the fact."""
    log_half_width: float
    """Of the 90 % interval."""

    @classmethod
    def fit(cls, facts: CostFacts, genotypes: IntArray, values: FloatArray) -> "CostModel":
        """Fits to positive values of shape ``(n,)`` by penalized non-negative least squares of relative errors."""
        columns = cls._columns(facts, genotypes)
        relative = columns / values[:, None]
        scale = np.maximum(relative.mean(axis=0), 1e-300)
        scaled = relative / scale
        penalty = np.sqrt(_PENALTY * len(values)) * np.eye(scaled.shape[1])
        stacked = np.vstack([scaled, penalty])
        costs, _ = optimize.nnls(stacked, np.r_[np.ones(len(values)), np.zeros(len(penalty))])
        support = costs > 0
        used = stacked[:, support]
        leverage = np.einsum("ij,ij->i", used @ np.linalg.pinv(used.T @ used), used)[: len(values)]
        missing = (1.0 - scaled @ costs) / np.maximum(1.0 - leverage, 0.05)
        errors = -np.log(np.clip(1.0 - missing, 0.1, 10.0))
        return cls(
            facts=facts, costs=costs / scale, log_half_width=max(conformal_quantile(errors), _SMALLEST_LOG_ERROR)
        )

    def predict(self, genotypes: IntArray) -> Prediction:
        """Values with 90 % intervals for canonical genotypes, each of shape ``(n,)``."""
        value = self._columns(self.facts, genotypes) @ self.costs
        factor = np.exp(self.log_half_width)
        return Prediction(value=value, low=value / factor, high=value * factor)

    @staticmethod
    def _columns(facts: CostFacts, genotypes: IntArray) -> FloatArray:
        chosen = [FACTS.index(name) for name in _COST_FACTS]
        return np.column_stack([facts.of(genotypes)[:, chosen], np.ones(len(genotypes))])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricPredictors:
    """One predictor per metric; those not needed may be missing."""

    latency: MetricPredictor
    accuracy: MetricPredictor
    tail: TailLatency | None
    costs: Mapping[str, CostModel]

    @classmethod
    def fit(
        cls,
        space: SearchSpace,
        latency: MetricPredictor,
        accuracy: MetricPredictor,
        samples: tuple[IntArray, Mapping[str, FloatArray]],
        names: Sequence[str],
    ) -> "MetricPredictors":
        """Completes fitted predictors of latency and accuracy by models of the other metrics.

        Args:
            space: of the genotypes.
            latency: predicts p50 in ms.
            accuracy: predicts fractions.
            samples: canonical genotypes, shape ``(n, genes)``, and their values by metric name.
            names: the metrics wanted.
        """
        genotypes, values = samples
        facts = CostFacts(space)
        tail = None
        if LATENCY_P95_MS.name in names:
            p50_ms, p95_ms = values[LATENCY_P50_MS.name], values[LATENCY_P95_MS.name]
            tail = TailLatency.fit(p50_ms, np.maximum(p50_ms, p95_ms))
        own = {ACCURACY.name, LATENCY_P50_MS.name, LATENCY_P95_MS.name}
        costs = {name: CostModel.fit(facts, genotypes, values[name]) for name in names if name not in own}
        return cls(latency=latency, accuracy=accuracy, tail=tail, costs=costs)

    def predict(self, genotypes: IntArray, names: Sequence[str]) -> dict[str, Prediction]:
        """Predictions by metric name, each value of shape ``(n,)``."""
        found: dict[str, Prediction] = {}
        if LATENCY_P50_MS.name in names or LATENCY_P95_MS.name in names:
            p50 = self.latency.predict(genotypes)
            found[LATENCY_P50_MS.name] = p50
            if self.tail is not None:
                found[LATENCY_P95_MS.name] = self.tail.predict(p50)
        if ACCURACY.name in names:
            found[ACCURACY.name] = self.accuracy.predict(genotypes)
        found |= {name: model.predict(genotypes) for name, model in self.costs.items()}
        return {name: found[name] for name in names}


def loss_moments(metric: Metric, prediction: Prediction) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of a metric's loss, each of shape ``(n,)``, its error taken for normal."""
    ends = metric.loss(prediction.low), metric.loss(prediction.high)
    std = np.abs(ends[1] - ends[0]) / (2 * _Z90)
    return metric.loss(prediction.value), np.maximum(std, _SMALLEST_STD)


def feasibility(constraints: Constraints, predictions: Mapping[str, Prediction]) -> FloatArray:
    """The probability that all constraints hold, shape ``(n,)``, as if their errors were independent."""
    total: FloatArray = np.ones(len(next(iter(predictions.values()))))
    for constraint in constraints.items:
        mean, std = loss_moments(constraint.metric, predictions[constraint.metric.name])
        limit = constraint.metric.loss(np.array([constraint.limit]))
        total = total * ndtr((limit - mean) / std)
    return total


def needed_metrics(objectives: Objectives, constraints: Constraints) -> tuple[str, ...]:
    """Names of the metrics that a search compares: the objectives' first."""
    return tuple(dict.fromkeys([*objectives.names, *(one.metric.name for one in constraints.items)]))
