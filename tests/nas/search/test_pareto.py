import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.search.pareto import crowding, hypervolume, hypervolume_gains, non_dominated, ranks


def points(columns):
    return st.integers(0, 12).flatmap(lambda n: arrays(np.float64, (n, columns), elements=st.integers(0, 6).map(float)))


def brute_dominates(a, b):
    return bool((a <= b).all() and (a < b).any())


@given(st.integers(2, 3).flatmap(points))
def test_non_dominated_agrees_with_pairwise_comparison(objectives):
    expected = [not any(brute_dominates(other, row) for other in objectives) for row in objectives]
    assert non_dominated(objectives).tolist() == expected


@given(points(2))
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


@given(st.integers(2, 3).flatmap(points))
def test_hypervolume_counts_the_unit_cells_that_are_dominated(objectives):
    columns = objectives.shape[1]
    cells = np.stack(np.meshgrid(*[np.arange(5)] * columns, indexing="ij"), -1).reshape(-1, columns)
    counted = sum(any((row <= cell).all() for row in objectives) for cell in cells)
    assert hypervolume(objectives, np.full(columns, 5.0)) == pytest.approx(counted)


@given(points(2), points(2))
def test_a_gain_is_the_difference_of_two_hypervolumes(candidates, front):
    reference = np.array([5.0, 5.0])
    before = hypervolume(front, reference)
    expected = [hypervolume(np.vstack([front, row]), reference) - before for row in candidates]
    assert hypervolume_gains(candidates, front, reference) == pytest.approx(expected)
