"""Metrics of predictions: rank correlation, relative error, coverage."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from predictors.prediction import Prediction

FloatArray = NDArray[np.float64]

SMALLEST: Final = 1e-4
"""Errors are not told apart below this."""


def spearman(truth: FloatArray, predicted: FloatArray) -> float:
    """Spearman's rank correlation; 0 where either side is constant."""
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return 0.0
    return float(stats.spearmanr(truth, predicted).statistic)


def kendall_tau(truth: FloatArray, predicted: FloatArray) -> float:
    """Kendall's tau-b; 0 where either side is constant."""
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return 0.0
    return float(stats.kendalltau(truth, predicted).statistic)


def mape_pct(truth: FloatArray, predicted: FloatArray) -> float:
    """Mean absolute relative error in percent."""
    return float(np.mean(np.abs(predicted - truth) / truth) * 100)


def within_pct(truth: FloatArray, predicted: FloatArray, tolerance_pct: float) -> float:
    """Percentage of predictions within a relative tolerance of the truth."""
    return float(np.mean(np.abs(predicted - truth) <= truth * tolerance_pct / 100) * 100)


def coverage_pct(truth: FloatArray, prediction: Prediction) -> float:
    """Percentage of true values inside their intervals."""
    return float(np.mean((prediction.low <= truth) & (truth <= prediction.high)) * 100)


def interval_width_pct(prediction: Prediction) -> float:
    """Mean width of the intervals in percent of the predicted value."""
    return float(np.mean((prediction.high - prediction.low) / prediction.value) * 100)


def oracle_width_pct(truth: FloatArray, predicted: FloatArray, level: float = 0.9) -> float:
    """Width in percent of the narrowest constant relative interval that holds a share of the true values.

    Requires ground truth: the reference for the widths of calibrated intervals.
    """
    half_width = float(np.quantile(np.abs(np.log(truth / predicted)), level))
    return float((np.exp(half_width) - np.exp(-half_width)) * 100)


def typical_error(residuals: FloatArray) -> float:
    """Between the mean absolute and the root mean square residual: steadier than a quantile; above zero."""
    mean = float(np.mean(np.abs(residuals)))
    square = float(np.sqrt(np.mean(residuals**2)))
    return math.sqrt(mean * square) + SMALLEST


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitAnswers:
    """How often latency limits hold if networks are chosen by predictions."""

    held_pct: float
    """Percentage of the answers whose true latency is at most T."""
    unused_pct: float
    """Median of what answers leave of T, in percent of T."""

    @classmethod
    def compute(cls, truth: FloatArray, prediction: Prediction) -> "LimitAnswers":
        """Asks for each of the true latencies' percentiles from 5 to 95.

        Answered is the slowest network by prediction among those whose interval ends below T; a
        limit that no interval keeps is not answered, and leaves all unused where that is so for every one.
        """
        limits = np.quantile(truth, np.linspace(0.05, 0.95, 91))
        allowed = [np.flatnonzero(prediction.high <= limit) for limit in limits]
        answered = np.array([limit for limit, rows in zip(limits, allowed, strict=True) if len(rows)])
        chosen = [rows[np.argmax(prediction.value[rows])] for rows in allowed if len(rows)]
        if not chosen:
            return cls(held_pct=100.0, unused_pct=100.0)
        left = 1.0 - truth[chosen] / answered
        return cls(held_pct=float(np.mean(left >= 0) * 100), unused_pct=float(np.median(left) * 100))


def r_squared(truth: FloatArray, predicted: FloatArray) -> float:
    """Share of the variance explained; 0 where the truth is constant."""
    total = float(np.sum((truth - truth.mean()) ** 2))
    return 1.0 - float(np.sum((truth - predicted) ** 2)) / total if total > 0 else 0.0


def rmse(truth: FloatArray, predicted: FloatArray) -> float:
    """Root mean squared error in the values' own unit."""
    return float(np.sqrt(np.mean((truth - predicted) ** 2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyMetrics:
    """Held-out quality of a latency predictor; percentages from 0 to 100."""

    n: int
    spearman: float
    kendall_tau: float
    mape_pct: float
    within_5_pct: float
    within_10_pct: float
    coverage_90_pct: float
    interval_width_pct: float

    @classmethod
    def of(cls, truth: FloatArray, prediction: Prediction) -> "LatencyMetrics":
        """Compares predictions in milliseconds with true ones, both of shape ``(n,)``."""
        return cls(
            n=len(truth),
            spearman=spearman(truth, prediction.value),
            kendall_tau=kendall_tau(truth, prediction.value),
            mape_pct=mape_pct(truth, prediction.value),
            within_5_pct=within_pct(truth, prediction.value, 5),
            within_10_pct=within_pct(truth, prediction.value, 10),
            coverage_90_pct=coverage_pct(truth, prediction),
            interval_width_pct=interval_width_pct(prediction),
        )

    def with_coverage_pct(self, coverage_90_pct: float) -> "LatencyMetrics":
        """The same with another estimate of coverage."""
        return replace(self, coverage_90_pct=coverage_90_pct)

    def as_json(self) -> dict[str, float]:
        """The fields as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyMetrics:
    """Held-out quality of an accuracy predictor; ``rmse`` is a fraction."""

    n: int
    kendall_tau: float
    spearman: float
    r2: float
    rmse: float
    top10_kendall_tau: float
    coverage_90_pct: float

    @classmethod
    def of(cls, truth: FloatArray, prediction: Prediction) -> "AccuracyMetrics":
        """Compares predicted fractions with true ones, both of shape ``(n,)``."""
        best = np.argsort(-truth, kind="stable")[: max(2, len(truth) // 10)]
        return cls(
            n=len(truth),
            kendall_tau=kendall_tau(truth, prediction.value),
            spearman=spearman(truth, prediction.value),
            r2=r_squared(truth, prediction.value),
            rmse=rmse(truth, prediction.value),
            top10_kendall_tau=kendall_tau(truth[best], prediction.value[best]),
            coverage_90_pct=coverage_pct(truth, prediction),
        )

    def with_coverage_pct(self, coverage_90_pct: float) -> "AccuracyMetrics":
        """The same with another estimate of coverage."""
        return replace(self, coverage_90_pct=coverage_90_pct)

    def as_json(self) -> dict[str, float]:
        """The fields as a JSON object."""
        return asdict(self)
