"""Rank correlation of two accuracies of the same networks, corrected for the noise of shared images.

``n`` images make an accuracy a noisy reading, and noise alone lowers a rank correlation
of networks that are close to each other. The noise is known here, since it is known
which images each network got right: the corrected figure is what would be found with
infinitely many images of the same kind.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

_RESAMPLES: Final = 2000
_LEAST_NETWORKS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingFidelity:
    """Kendall's tau-b between two accuracies of the same networks; NaN where it is not defined."""

    kendall_tau: float
    kendall_tau_interval_90: tuple[float, float]
    """Bootstrap over networks."""
    kendall_tau_noise_corrected: float
    """Without the noise of the images; assumes accuracies that are jointly normal over networks."""

    @classmethod
    def of(cls, first: BoolArray, second: BoolArray, *, seed: int = 0) -> "RankingFidelity":
        """Compares two ways to get networks' weights.

        Args:
            first: Shape ``(networks, images)``: which images each network got right.
            second: The same networks with other weights, on the same images.
            seed: Of the bootstrap.
        """
        if first.shape != second.shape or len(first) < _LEAST_NETWORKS:
            return cls(
                kendall_tau=math.nan,
                kendall_tau_interval_90=(math.nan, math.nan),
                kendall_tau_noise_corrected=math.nan,
            )
        x, y = first.mean(axis=1), second.mean(axis=1)
        tau, interval = kendall_tau(x, y, seed=seed)
        return cls(
            kendall_tau=tau,
            kendall_tau_interval_90=interval,
            kendall_tau_noise_corrected=_noise_corrected(first, second),
        )


def kendall_tau(x: FloatArray, y: FloatArray, *, seed: int = 0) -> tuple[float, tuple[float, float]]:
    """Kendall's tau-b of two figures of the same networks, shape ``(n,)``, and its 90 % interval by bootstrap."""
    return _tau(x, y), _interval(x, y, np.random.default_rng(seed))


def _tau(x: FloatArray, y: FloatArray) -> float:
    return float(stats.kendalltau(x, y).statistic)


def _interval(x: FloatArray, y: FloatArray, rng: np.random.Generator) -> tuple[float, float]:
    """Tau-b of all resamples at once: a network drawn twice is a tie in both."""
    count = len(x)
    times = rng.multinomial(count, np.full(count, 1 / count), _RESAMPLES).astype(np.float64)
    order_x, order_y = (np.sign(v[:, None] - v[None]) for v in (x, y))

    def pairs(matrix: FloatArray) -> FloatArray:
        counted: FloatArray = ((times @ matrix) * times).sum(axis=1)
        return counted

    untied = pairs(np.abs(order_x)) * pairs(np.abs(order_y))
    defined = untied > 0
    if not defined.any():
        return math.nan, math.nan
    taus = pairs(order_x * order_y)[defined] / np.sqrt(untied[defined])
    low, high = np.quantile(taus, (0.05, 0.95))
    return float(low), float(high)


def _noise_corrected(first: BoolArray, second: BoolArray) -> float:
    """Pearson's correlation without the images' noise (Spearman, 1904), as the tau of a normal distribution.

    Noise that all networks share (an image that is hard for all) moves no rank and is left out; noise
    that both accuracies of a network share is taken from their covariance.
    """
    images = first.shape[1]
    # What is a network's own on an image: neither its mean nor that of the image.
    own = [_centred(part.astype(np.float64)) for part in (first, second)]
    noise = np.array([[float((a * b).sum(axis=1).mean()) for b in own] for a in own]) / images**2
    observed = np.cov(first.mean(axis=1), second.mean(axis=1))
    # The mean over networks took its share of both.
    left = observed - noise * len(first) / (len(first) - 1)
    if left[0, 0] <= 0 or left[1, 1] <= 0:
        return math.nan
    correlation = float(np.clip(left[0, 1] / math.sqrt(left[0, 0] * left[1, 1]), -1, 1))
    return 2 / math.pi * math.asin(correlation)


def _centred(right: FloatArray) -> FloatArray:
    centred: FloatArray = right - right.mean(axis=0, keepdims=True)
    own: FloatArray = centred - centred.mean(axis=1, keepdims=True)
    return own
