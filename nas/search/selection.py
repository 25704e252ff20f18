"""Which predicted candidates are worth a real evaluation.

The batch is chosen greedily by the hypervolume that each candidate is believed to add
to the measured front; a chosen candidate counts as measured for the next choice, which
spreads the batch along the front. Beliefs are draws from the predictors' intervals, so
that uncertain candidates get their chance (Thompson sampling).
"""

import numpy as np

from nas.search.pareto import hypervolume_gains
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray

_REFERENCE = 1.6
"""The reference point's coordinates where the measured objectives span 0 to 1: well outside, since what is gained
at the ends of a front would count for next to nothing beside a reference that touches them."""


def unit_scale(believed: FloatArray, measured: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Both sets of minimized objectives, shape ``(n, m)``, where the measured ones span 0 to 1, and the reference."""
    low, high = measured.min(axis=0), measured.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return (believed - low) / width, (measured - low) / width, np.full(measured.shape[1], _REFERENCE)


def choose_batch(
    believed: FloatArray,
    measured: FloatArray,
    reference: FloatArray,
    count: int,
) -> IntArray:
    """Rows of ``believed``, shape ``(n, 2)``, to evaluate next; at most ``count``, distinct.

    ``measured`` holds the objectives seen so far and ``reference`` the corner of what
    interests, both on the same minimized scale. Once no candidate is believed to add
    anything, the ones nearest to the front follow.
    """
    front = measured
    chosen: list[int] = []
    open_rows = np.ones(len(believed), dtype=np.bool_)
    while len(chosen) < min(count, len(believed)):
        gains = np.where(open_rows, hypervolume_gains(believed, front, reference), -np.inf)
        best = int(gains.argmax())
        if gains[best] <= 0:
            best = int(np.where(open_rows, _distance(believed, front), np.inf).argmin())
        chosen.append(best)
        open_rows[best] = False
        front = np.concatenate([front, believed[best : best + 1]])
    return np.array(chosen, dtype=np.int64)


def _distance(points: FloatArray, front: FloatArray) -> FloatArray:
    """How far each point must move to be non-dominated, shape ``(n,)``."""
    excess = (points[:, None, :] - front[None, :, :]).min(axis=2)
    distance: FloatArray = excess.max(axis=1)
    return distance
