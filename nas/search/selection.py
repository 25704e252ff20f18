"""Which predicted candidates are worth a real evaluation.

The batch is chosen greedily by the hypervolume that each candidate is predicted to add
to the measured front, times the probability that it keeps the constraints; a chosen
candidate counts as measured for the next choice, which spreads the batch along the
front. Predictions are samples from the predictors' distributions, so that uncertain
candidates get their chance (Thompson sampling).
"""

import numpy as np

from nas.search.pareto import hypervolume_gains
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray

_REFERENCE = 1.6
"""The reference point's coordinates where the measured objectives span 0 to 1: well outside, since what is gained
at the ends of a front would count for next to nothing beside a reference that touches them."""


def unit_scale(sampled: FloatArray, measured: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Both sets of minimized objectives, shape ``(n, m)``, where the measured ones span 0 to 1, and the reference."""
    low, high = measured.min(axis=0), measured.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return (sampled - low) / width, (measured - low) / width, np.full(measured.shape[1], _REFERENCE)


def choose_batch(
    sampled: FloatArray,
    measured: FloatArray,
    reference: FloatArray,
    count: int,
    weights: FloatArray | None = None,
) -> IntArray:
    """Rows of ``sampled``, shape ``(n, m)``, to evaluate next; at most ``count``, distinct.

    Gains shrink as the front grows, so a gain of an earlier front bounds the present one from
    above, and only the candidates with the largest bounds are computed again (Minoux 1978).
    Once no candidate adds anything, the ones nearest to the front follow.

    Args:
        sampled: candidates' objectives, minimized.
        measured: objectives seen so far, on the same scale.
        reference: the corner of what interests, shape ``(m,)``.
        count: the batch's size.
        weights: what gains are multiplied by, from 0 to 1, shape ``(n,)``; ones where not given.
    """
    factors = np.ones(len(sampled)) if weights is None else weights
    front = measured
    bounds = hypervolume_gains(sampled, front, reference) * factors
    current = np.ones(len(sampled), dtype=np.bool_)
    chosen: list[int] = []
    while len(chosen) < min(count, len(sampled)):
        best = int(bounds.argmax())
        if bounds[best] <= 0:
            chosen += _nearest(sampled, front, chosen, min(count, len(sampled)) - len(chosen))
            break
        if not current[best]:
            gain = hypervolume_gains(sampled[best : best + 1], front, reference)[0]
            bounds[best] = min(float(gain * factors[best]), float(bounds[best]))
            current[best] = True
            continue
        chosen.append(best)
        bounds[best] = -np.inf
        current[:] = False
        front = np.concatenate([front, sampled[best : best + 1]])
    return np.array(chosen, dtype=np.int64)


def _nearest(points: FloatArray, front: FloatArray, excluded: list[int], count: int) -> list[int]:
    """Rows that must move the least to be non-dominated, nearest first."""
    excess = (points[:, None, :] - front[None, :, :]).min(axis=2)
    distance = excess.max(axis=1)
    distance[excluded] = np.inf
    return [int(row) for row in np.argsort(distance, kind="stable")[:count]]
