"""Selects the predicted candidates for real evaluation.

The batch is chosen greedily by the hypervolume that each candidate is expected to add to
the measured front, times the probability that it keeps the constraints; a chosen
candidate counts as measured, at its prediction, for the next choice, which spreads the
batch along the front. The expectation is over the predictors' errors, so that uncertain
candidates get their chance; it is a sum over fixed nodes and not over random draws, of
which, among thousands of candidates, the luckiest would win.
"""

import numpy as np

from nas.search.pareto import hypervolume_gains
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray

_REFERENCE = 1.6
"""The reference point's coordinates where the measured objectives span 0 to 1: well outside, since what is gained
at the ends of a front would count for next to nothing beside a reference that touches them."""
_REFRESHED = 32
"""Candidates whose outdated gains are computed again at once."""


def unit_scale(measured: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Offset and width that map measured objectives, shape ``(n, m)``, to 0 to 1, and the reference there."""
    low, high = measured.min(axis=0), measured.max(axis=0)
    return low, np.where(high > low, high - low, 1.0), np.full(measured.shape[1], _REFERENCE)


def expected_gains(mean: FloatArray, std: FloatArray, front: FloatArray, reference: FloatArray) -> FloatArray:
    """Hypervolume that each candidate alone is expected to add to a front, shape ``(n,)``.

    Errors are normal and independent; the expectation is by the cubature rule of degree three (2m
    points, each ``sqrt(m)`` standard deviations from the mean along one objective; Arasaratnam and
    Haykin 2009).

    Args:
        mean: predicted objectives, minimized, shape ``(n, m)``.
        std: standard deviations of their errors, same shape.
        front: measured objectives, shape ``(k, m)``.
        reference: shape ``(m,)``.
    """
    count = mean.shape[1]
    total = np.zeros(len(mean))
    for objective in range(count):
        for side in (-1.0, 1.0):
            point = mean.copy()
            point[:, objective] += side * np.sqrt(count) * std[:, objective]
            total += hypervolume_gains(point, front, reference)
    return np.asarray(total / (2 * count))


def choose_batch(
    mean: FloatArray,
    std: FloatArray,
    front: FloatArray,
    reference: FloatArray,
    count: int,
    weights: FloatArray | None = None,
) -> IntArray:
    """Rows of ``mean`` to evaluate next; at most ``count``, distinct.

    Gains shrink as the front grows, so a gain of an earlier front bounds the present one from
    above, and only the candidates with the largest bounds are computed again (Minoux 1978).
    Once no candidate adds anything, the ones nearest to the front follow.

    Args:
        mean: candidates' predicted objectives, minimized, shape ``(n, m)``.
        std: standard deviations of their errors, same shape.
        front: objectives measured so far, on the same scale.
        reference: the corner of what interests, shape ``(m,)``.
        count: the batch's size.
        weights: what gains are multiplied by, from 0 to 1, shape ``(n,)``; ones where not given.
    """
    factors = np.ones(len(mean)) if weights is None else weights
    bounds = expected_gains(mean, std, front, reference) * factors
    current = np.ones(len(mean), dtype=np.bool_)
    chosen: list[int] = []
    while len(chosen) < min(count, len(mean)):
        best = int(bounds.argmax())
        if bounds[best] <= 0:
            chosen += _nearest(mean, front, chosen, min(count, len(mean)) - len(chosen))
            break
        if not current[best]:
            largest = np.argpartition(-bounds, min(_REFRESHED, len(bounds) - 1))[:_REFRESHED]
            rows = np.union1d(largest[~current[largest] & (bounds[largest] > 0)], [best])
            gains = expected_gains(mean[rows], std[rows], front, reference) * factors[rows]
            bounds[rows] = np.minimum(gains, bounds[rows])
            current[rows] = True
            continue
        chosen.append(best)
        bounds[best] = -np.inf
        current[:] = False
        front = np.concatenate([front, mean[best : best + 1]])
    return np.array(chosen, dtype=np.int64)


def _nearest(points: FloatArray, front: FloatArray, excluded: list[int], count: int) -> list[int]:
    """Rows that must move the least to be non-dominated, nearest first."""
    excess = (points[:, None, :] - front[None, :, :]).min(axis=2)
    distance = excess.max(axis=1)
    distance[excluded] = np.inf
    return [int(row) for row in np.argsort(distance, kind="stable")[:count]]
