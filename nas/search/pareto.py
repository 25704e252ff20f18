"""Pareto dominance, ranks, crowding and hypervolume; every objective is minimized.

Objectives are float arrays of shape ``(n, m)``. A point dominates another where it is
no worse in every objective and better in one; equal points do not dominate each other.
"""

import numpy as np

from search_spaces.facts import FloatArray
from search_spaces.space import BoolArray, IntArray


def non_dominated(objectives: FloatArray) -> BoolArray:
    """Which rows no other row dominates, shape ``(n,)``; equal rows all stay.

    Two objectives take ``O(n log n)``, more take ``O(n·front)``.
    """
    if objectives.shape[1] == 2:
        return _non_dominated_2d(objectives)
    keep = np.ones(len(objectives), dtype=np.bool_)
    for row in range(len(objectives)):
        if keep[row]:
            worse = (objectives >= objectives[row]).all(axis=1) & (objectives > objectives[row]).any(axis=1)
            keep &= ~worse
    return keep


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
    """Volume that the rows dominate inside ``reference``, shape ``(m,)``.

    Exact, by slicing along the last objective; rows outside the reference count nothing.
    """
    inside = objectives[(objectives < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    front = inside[non_dominated(inside)]
    if front.shape[1] == 1:
        return float(reference[0] - front[:, 0].min())
    if front.shape[1] == 2:
        ordered = np.unique(front, axis=0)
        heights = np.r_[reference[1], ordered[:-1, 1]] - ordered[:, 1]
        return float(((reference[0] - ordered[:, 0]) * heights).sum())
    ordered = front[np.argsort(front[:, -1], kind="stable")]
    depths = np.r_[ordered[1:, -1], reference[-1]] - ordered[:, -1]
    return float(
        sum(
            depth * hypervolume(ordered[: index + 1, :-1], reference[:-1])
            for index, depth in enumerate(depths)
            if depth > 0
        )
    )


def hypervolume_gains(points: FloatArray, front: FloatArray, reference: FloatArray) -> FloatArray:
    """What each point of shape ``(n, 2)`` would add to a front's hypervolume, shape ``(n,)``."""
    inside = front[(front < reference).all(axis=1)]
    stairs = np.unique(inside[non_dominated(inside)], axis=0) if len(inside) else np.empty((0, 2))
    lefts = np.r_[-np.inf, stairs[:, 0]]
    rights = np.r_[stairs[:, 0], reference[0]]
    ceilings = np.r_[reference[1], stairs[:, 1]]
    widths = np.clip(rights[None, :] - np.maximum(lefts[None, :], points[:, :1]), 0, None)
    heights = np.clip(ceilings[None, :] - points[:, 1:], 0, None)
    gains: FloatArray = np.where(widths > 0, widths * heights, 0.0).sum(axis=1)
    return gains
