"""Tail latency: the 95th percentile as a ratio to the median.

A device's scheduler, clocks and caches decide how far its p95 lies above its p50, the network
hardly does: the log ratio is a straight line in log p50 with a slope shrunk towards zero (short
networks suffer more from one interrupt). The fit is robust (Student weights), because a tail
reading is itself noisy. Leave-one-out residuals, joined by a few pseudo-residuals of the
assumed noise where samples are few, give the ratio's interval.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from predictors.errors import UnfitDataError
from predictors.prediction import Prediction

FloatArray = NDArray[np.float64]

_TAIL: Final = 0.05
"""Probability beyond each end of a 90 % interval."""
_PRIOR_LOG_RATIO: Final = 0.05
_PRIOR_STD: Final = 0.05
"""Log ratio and its standard deviation on a device of which nothing is known."""
_PRIOR_SAMPLES: Final = 2.0
"""Samples that the prior counts for, in the ratio and in its standard deviation."""
_SLOPE_STD: Final = 0.05
"""Prior standard deviation of the change of the log ratio per unit of log p50."""
_DEGREES_OF_FREEDOM: Final = 4.0
_REWEIGHTINGS: Final = 5
_NORMAL_MAD: Final = 1.4826
_PSEUDO_RESIDUALS: Final = 9
_SMALLEST_STD: Final = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TailLatency:
    """A device's ratio of p95 to p50; build one with :meth:`fit`.

    ``low`` and ``high`` are the ends of the 90 % interval of a new network's log ratio, relative
    to its predicted log ratio; ``loo_residuals`` are log ratios minus what a fit without that
    sample predicts, shape ``(n,)``.
    """

    intercept: float
    slope: float
    centre_log_ms: float
    low: float
    high: float
    loo_residuals: FloatArray

    @classmethod
    def fit(cls, p50_ms: FloatArray, p95_ms: FloatArray) -> "TailLatency":
        """Fits to measured percentiles of the same networks, both of shape ``(n,)``; deterministic.

        Raises:
            UnfitDataError: for no samples, different shapes, values that are not finite and
                positive, or a p95 below its p50.
        """
        p50_ms, p95_ms = _checked(p50_ms, p95_ms)
        log_ms = np.log(p50_ms)
        log_ratios = np.log(p95_ms) - log_ms
        centre = float(np.median(log_ms))
        columns = np.column_stack([np.ones_like(log_ms), log_ms - centre])
        coefficients, loo_residuals, std = _robust_line(columns, log_ratios)
        low, high = _interval(loo_residuals, std)
        return cls(
            intercept=float(coefficients[0]),
            slope=float(coefficients[1]),
            centre_log_ms=centre,
            low=low,
            high=high,
            loo_residuals=loo_residuals,
        )

    def log_ratio(self, p50_ms: FloatArray) -> FloatArray:
        """Expected ``log(p95 / p50)`` of networks of these medians, shape ``(n,)``, never negative."""
        line = self.intercept + self.slope * (np.log(p50_ms) - self.centre_log_ms)
        return np.asarray(np.maximum(line, 0.0))

    def predict(self, p50: Prediction) -> Prediction:
        """p95 in milliseconds with 90 % intervals, from predicted medians; shape ``(n,)``.

        Errors of the median and of the ratio are taken to be independent. Neither p95 nor the
        ends of its interval lie below those of the median.
        """
        value = p50.value * np.exp(self.log_ratio(p50.value))  # a sum of logs can round to just below p50
        below = np.hypot(np.log(p50.value / p50.low), self.low)
        above = np.hypot(np.log(p50.high / p50.value), self.high)
        return Prediction(
            value=value,
            low=np.maximum(value * np.exp(-below), p50.low),
            high=np.maximum(value * np.exp(above), p50.high),
        )


def _checked(p50_ms: FloatArray, p95_ms: FloatArray) -> tuple[FloatArray, FloatArray]:
    p50_ms, p95_ms = np.asarray(p50_ms, dtype=np.float64), np.asarray(p95_ms, dtype=np.float64)
    if p50_ms.ndim != 1 or p50_ms.shape != p95_ms.shape or not len(p50_ms):
        raise UnfitDataError(
            f"p50 of shape {p50_ms.shape} and p95 of shape {p95_ms.shape}; give one of each per network."
        )
    bad = np.flatnonzero(~(np.isfinite(p50_ms) & np.isfinite(p95_ms) & (p50_ms > 0) & (p95_ms >= p50_ms)))
    if len(bad):
        row = int(bad[0])
        raise UnfitDataError(
            f"sample {row + 1} has p50 {p50_ms[row]} ms and p95 {p95_ms[row]} ms;"
            " both must be finite and positive, and p95 at least p50."
        )
    return p50_ms, p95_ms


def _robust_line(columns: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray, float]:
    """Coefficients of ``columns`` (shape ``(n, 2)``), leave-one-out residuals, and their robust std.

    Leave-one-out residuals take the samples' weights as given; a sample that weighs little has
    little leverage on its own prediction.
    """
    prior = np.array([_PRIOR_LOG_RATIO, 0.0])
    wanted = target - columns @ prior
    weights, std = np.ones(len(target)), _PRIOR_STD
    for _ in range(_REWEIGHTINGS):
        # In units of a sample's noise: the intercept's prior is worth _PRIOR_SAMPLES samples.
        precision = np.diag([_PRIOR_SAMPLES, (std / _SLOPE_STD) ** 2])
        gram = (columns * weights[:, None]).T @ columns + precision
        shift = np.linalg.solve(gram, columns.T @ (weights * wanted))
        leverage = weights * np.einsum("ij,ij->i", columns @ np.linalg.inv(gram), columns)
        residuals = (wanted - columns @ shift) / (1.0 - leverage)
        mad = _NORMAL_MAD * float(np.median(np.abs(residuals)))
        variance = (len(target) * mad**2 + _PRIOR_SAMPLES * _PRIOR_STD**2) / (len(target) + _PRIOR_SAMPLES)
        std = max(float(np.sqrt(variance)), _SMALLEST_STD)
        weights = (_DEGREES_OF_FREEDOM + 1.0) / (_DEGREES_OF_FREEDOM + (residuals / std) ** 2)
        weights = np.minimum(weights, 1.0)
    return prior + shift, residuals, std


def _interval(residuals: FloatArray, std: float) -> tuple[float, float]:
    """Ends of the central 90 % of residuals, each side for itself, since ratios are skewed.

    Pseudo-residuals at even quantiles of a Student distribution stand in for samples that are
    not there: with none the ends are the distribution's own, with a hundred the samples'.
    """
    levels = (np.arange(_PSEUDO_RESIDUALS) + 0.5) / _PSEUDO_RESIDUALS
    assumed = std * stats.t.ppf(levels, _DEGREES_OF_FREEDOM)
    # Weibull positions k / (n + 1): a new network is as likely in each gap between the values.
    values = np.sort(np.concatenate([residuals, assumed]))
    ends = np.quantile(values, [_TAIL, 1.0 - _TAIL], method="weibull")
    return float(min(ends[0], 0.0)), float(max(ends[1], 0.0))
