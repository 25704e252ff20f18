"""The lazy choice of batches against the plain greedy one."""

import numpy as np
import pytest

from nas.search.pareto import hypervolume
from nas.search.selection import choose_batch, unit_scale


def plain_greedy(points, front, reference, count, weights):
    chosen = []
    for _ in range(count):
        before = hypervolume(front, reference)
        gains = [
            -1.0 if row in chosen else weights[row] * (hypervolume(np.vstack([front, point]), reference) - before)
            for row, point in enumerate(points)
        ]
        chosen.append(int(np.argmax(gains)))
        front = np.vstack([front, points[chosen[-1]]])
    return chosen


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_lazy_gains_choose_what_plain_greedy_chooses(objectives):
    rng = np.random.default_rng(objectives)
    points, front = rng.random((40, objectives)), rng.random((6, objectives)) + 0.5
    points = 1.0 - 0.9 * points / np.linalg.norm(points, axis=1, keepdims=True)  # none dominates another
    weights = rng.random(40)
    reference = np.full(objectives, 1.6)
    expected = plain_greedy(points, front, reference, 5, weights)
    assert choose_batch(points, front, reference, 5, weights).tolist() == expected


def test_what_probably_breaks_a_constraint_gives_way():
    points = np.array([[0.1, 0.1], [0.2, 0.2]])
    front = np.array([[1.0, 1.0]])
    reference = np.array([1.6, 1.6])
    assert choose_batch(points, front, reference, 1).tolist() == [0]
    assert choose_batch(points, front, reference, 1, np.array([0.01, 0.9])).tolist() == [1]


def test_without_gains_the_nearest_to_the_front_follow():
    points = np.array([[3.0, 3.0], [1.1, 1.1], [2.0, 2.0]])
    assert choose_batch(points, np.array([[1.0, 1.0]]), np.array([1.6, 1.6]), 3).tolist() == [1, 2, 0]


def test_measured_objectives_span_the_unit_square():
    sampled, measured, reference = unit_scale(np.array([[4.0, 5.0]]), np.array([[2.0, 5.0], [6.0, 5.0]]))
    assert sampled.tolist() == [[0.5, 0.0]]
    assert measured[:, 0].tolist() == [0.0, 1.0]
    assert (reference > 1).all()
