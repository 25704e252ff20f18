"""Dominance and hypervolume against brute force, for two to four objectives, with ties and duplicates."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.search.pareto import crowding, hypervolume, hypervolume_gains, non_dominated, ranks
from search_spaces.errors import UsageError

COLUMNS = st.integers(2, 4)


def points(columns):
    return st.integers(0, 10).flatmap(lambda n: arrays(np.float64, (n, columns), elements=st.integers(0, 5).map(float)))


def brute_dominates(a, b):
    return bool((a <= b).all() and (a < b).any())


def counted_volume(objectives, columns, side=4):
    """How many unit cells of the cube below (side, …) are dominated."""
    cells = np.stack(np.meshgrid(*[np.arange(side)] * columns, indexing="ij"), -1).reshape(-1, columns)
    return sum(any((row <= cell).all() for row in objectives) for cell in cells)


@given(COLUMNS.flatmap(points))
def test_non_dominated_agrees_with_pairwise_comparison(objectives):
    expected = [not any(brute_dominates(other, row) for other in objectives) for row in objectives]
    assert non_dominated(objectives).tolist() == expected


@given(COLUMNS.flatmap(points))
def test_ranks_peel_one_front_after_another(objectives):
    front_numbers = ranks(objectives)
    for row, front in zip(objectives, front_numbers, strict=True):
        dominators = [n for o, n in zip(objectives, front_numbers, strict=True) if brute_dominates(o, row)]
        assert front == (max(dominators) + 1 if dominators else 0)


def test_infeasible_rows_come_last_by_violation():
    objectives = np.array([[1.0, 1.0], [9.0, 9.0], [0.0, 0.0], [0.0, 0.0]])
    assert ranks(objectives, np.array([0.0, 0.0, 2.0, 1.0])).tolist() == [0, 1, 3, 2]


def test_crowding_is_infinite_at_the_ends_only():
    objectives = np.array([[0.0, 3.0], [1.0, 2.0], [2.0, 1.0], [3.0, 0.0]])
    distance = crowding(objectives, np.zeros(4, dtype=np.int64))
    assert np.isinf(distance[[0, 3]]).all()
    assert np.isfinite(distance[[1, 2]]).all()


@settings(deadline=None)
@given(COLUMNS.flatmap(points))
def test_hypervolume_counts_the_unit_cells_that_are_dominated(objectives):
    columns = objectives.shape[1]
    counted = counted_volume(objectives, columns)
    assert hypervolume(objectives, np.full(columns, 4.0)) == pytest.approx(counted)


@settings(deadline=None)
@given(COLUMNS.flatmap(lambda columns: st.tuples(points(columns), points(columns))))
def test_a_gain_is_the_difference_of_two_counted_volumes(candidates_and_front):
    candidates, front = candidates_and_front
    columns = front.shape[1]
    before = counted_volume(front, columns)
    expected = [counted_volume(np.vstack([front, row]), columns) - before for row in candidates]
    assert hypervolume_gains(candidates, front, np.full(columns, 4.0)) == pytest.approx(expected)


@pytest.mark.parametrize("columns", [2, 3, 4])
def test_nan_is_refused(columns):
    bad = np.ones((3, columns))
    bad[1, -1] = np.nan
    good = np.ones((2, columns))
    reference = np.full(columns, 4.0)
    for refused in (
        lambda: non_dominated(bad),
        lambda: ranks(bad),
        lambda: hypervolume(bad, reference),
        lambda: hypervolume_gains(bad, good, reference),
        lambda: hypervolume_gains(good, bad, reference),
    ):
        with pytest.raises(UsageError, match="row 1"):
            refused()
