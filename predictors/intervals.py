"""Conformal intervals: how many spreads wide an interval must be to hold its promise.

Split-conformal prediction on normalized residuals (Lei et al. 2018; Angelopoulos and
Bates 2023), with the residuals taken out of fold, so that no sample is lost to
calibration.
"""

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

LEVEL = 0.9


def conformal_quantile(scores: FloatArray, level: float = LEVEL) -> float:
    """The finite-sample quantile of absolute normalized residuals, shape ``(n,)``.

    With too few scores for the level the largest is widened by what is missing.
    """
    count = len(scores)
    ordered = np.sort(np.abs(scores))
    rank = math.ceil((count + 1) * level)
    if rank <= count:
        return float(ordered[rank - 1])
    return float(ordered[-1] * (1.0 + 2.0 / count))


def left_out_coverage_pct(scores: FloatArray, level: float = LEVEL) -> float:
    """Percentage of scores inside the quantile of all others: an honest estimate of coverage."""
    inside = [abs(score) <= conformal_quantile(np.delete(scores, row), level) for row, score in enumerate(scores)]
    return float(np.mean(inside) * 100)
