"""Pareto dominance, ranks, crowding and hypervolume; every objective is minimized.

Objectives are float arrays of shape ``(n, m)`` without NaN. A point dominates another
where it is no worse in every objective and better in one; equal points do not dominate
each other. Two objectives have vectorized code of our own, more go to moocore.
"""

import moocore
import numpy as np

from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import BoolArray, IntArray


def non_dominated(objectives: FloatArray) -> BoolArray:
    """Which rows no other row dominates, shape ``(n,)``; equal rows all stay.

    Raises:
        UsageError: if an objective is NaN.
    """
    refuse_nan(objectives)
    if objectives.shape[1] == 2:
        return _non_dominated_2d(objectives)
    if not len(objectives):
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(moocore.is_nondominated(objectives, keep_weakly=True), dtype=np.bool_)


def refuse_nan(objectives: FloatArray) -> None:
    """Comparisons with NaN are false, so a NaN would count as non-dominated.

    Raises:
        UsageError: if an objective is NaN; names the first row.
    """
    bad = np.flatnonzero(np.isnan(objectives).any(axis=1))
    if len(bad):
        raise UsageError(f"objectives of {len(bad)} candidates are NaN, the first in row {int(bad[0])}.")


def _non_dominated_2d(objectives: FloatArray) -> BoolArray:
    keep = np.zeros(len(objectives), dtype=np.bool_)
    if not len(objectives):
        return keep
    order = np.lexsort((objectives[:, 1], objectives[:, 0]))
    first, second = objectives[order, 0], objectives[order, 1]
    starts = np.r_[True, first[1:] != first[:-1]]
    group = np.cumsum(starts) - 1
    group_best = second[starts]  # second objective is sorted within equal first objectives
    earlier_best = np.r_[np.inf, np.minimum.accumulate(group_best)[:-1]]
    keep[order] = (second == group_best[group]) & (second < earlier_best[group])
    return keep


def ranks(objectives: FloatArray, violations: FloatArray | None = None) -> IntArray:
    """Each row's front number from 0 (Deb et al., NSGA-II), shape ``(n,)``.

    With ``violations`` (0 where every limit holds) domination is constrained: feasible
    rows come first, the others after them by total violation.
    """
    result = np.zeros(len(objectives), dtype=np.int64)
    feasible = np.ones(len(objectives), dtype=np.bool_) if violations is None else violations <= 0
    left = np.flatnonzero(feasible)
    front = 0
    while len(left):
        best = non_dominated(objectives[left])
        result[left[best]] = front
        left = left[~best]
        front += 1
    if violations is not None:
        _, order = np.unique(violations[~feasible], return_inverse=True)
        result[~feasible] = front + order
    return result


def crowding(objectives: FloatArray, front_numbers: IntArray) -> FloatArray:
    """Crowding distance within each front, shape ``(n,)``; infinite at a front's ends."""
    distance = np.zeros(len(objectives))
    for front in np.unique(front_numbers):
        members = np.flatnonzero(front_numbers == front)
        for values in objectives[members].T:
            order = members[np.argsort(values, kind="stable")]
            ordered = np.sort(values)
            width = ordered[-1] - ordered[0]
            distance[order[[0, -1]]] = np.inf
            if width > 0 and len(order) > 2:
                distance[order[1:-1]] += (ordered[2:] - ordered[:-2]) / width
    return distance


def hypervolume(objectives: FloatArray, reference: FloatArray) -> float:
    """Volume that the rows dominate inside ``reference``, shape ``(m,)``; exact.

    Rows outside the reference count nothing.

    Raises:
        UsageError: if an objective is NaN.
    """
    refuse_nan(objectives)
    inside = objectives[(objectives < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    if inside.shape[1] == 2:
        stairs = np.unique(inside[_non_dominated_2d(inside)], axis=0)
        heights = np.r_[reference[1], stairs[:-1, 1]] - stairs[:, 1]
        return float(((reference[0] - stairs[:, 0]) * heights).sum())
    return float(moocore.hypervolume(inside, ref=reference))


def hypervolume_gains(points: FloatArray, front: FloatArray, reference: FloatArray) -> FloatArray:
    """Hypervolume that each point of shape ``(n, m)`` alone would add to a front, shape ``(n,)``.

    Raises:
        UsageError: if an objective is NaN.
    """
    refuse_nan(points)
    refuse_nan(front)
    inside = front[(front < reference).all(axis=1)]
    stairs = np.unique(inside[non_dominated(inside)], axis=0) if len(inside) else inside
    return _gains_2d(points, stairs, reference) if points.shape[1] == 2 else _gains(points, stairs, reference)


def _gains_2d(points: FloatArray, stairs: FloatArray, reference: FloatArray) -> FloatArray:
    lefts = np.r_[-np.inf, stairs[:, 0]]
    rights = np.r_[stairs[:, 0], reference[0]]
    ceilings = np.r_[reference[1], stairs[:, 1]]
    widths = np.clip(rights[None, :] - np.maximum(lefts[None, :], points[:, :1]), 0, None)
    heights = np.clip(ceilings[None, :] - points[:, 1:], 0, None)
    gains: FloatArray = np.where(widths > 0, widths * heights, 0.0).sum(axis=1)
    return gains


def _gains(points: FloatArray, front: FloatArray, reference: FloatArray) -> FloatArray:
    """A point's box less what the front, cut to that box, dominates of it."""
    gains = np.prod(np.clip(reference - points, 0.0, None), axis=1)
    if not len(front):
        return np.asarray(gains)
    dominated = np.any(np.all(front[None] <= points[:, None], axis=2), axis=1)
    gains[dominated] = 0.0
    volume = moocore.Hypervolume(ref=reference)
    for row in np.flatnonzero(gains > 0):
        gains[row] -= volume(np.maximum(front, points[row]))
    return np.asarray(np.clip(gains, 0.0, None))
