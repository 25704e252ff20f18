"""The lazy choice of batches against the plain greedy one."""

import numpy as np
import pytest

from nas.search.pareto import hypervolume
from nas.search.selection import choose_batch, expected_gains, unit_scale


def plain_greedy(points, std, front, reference, count, weights):
    chosen = []
    for _ in range(count):
        gains = weights * expected_gains(points, std, front, reference)
        gains[chosen] = -1.0
        chosen.append(int(np.argmax(gains)))
        front = np.vstack([front, points[chosen[-1]]])
    return chosen


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_lazy_gains_choose_what_plain_greedy_chooses(objectives):
    rng = np.random.default_rng(objectives)
    points, front = rng.random((40, objectives)), rng.random((6, objectives)) + 0.5
    points = 1.0 - 0.9 * points / np.linalg.norm(points, axis=1, keepdims=True)  # none dominates another
    weights, std = rng.random(40), 0.1 * rng.random((40, objectives))
    reference = np.full(objectives, 1.6)
    expected = plain_greedy(points, std, front, reference, 5, weights)
    assert choose_batch(points, std, front, reference, 5, weights).tolist() == expected


def test_what_probably_breaks_a_constraint_gives_way():
    points = np.array([[0.1, 0.1], [0.2, 0.2]])
    front = np.array([[1.0, 1.0]])
    reference = np.array([1.6, 1.6])
    sure = np.zeros_like(points)
    assert choose_batch(points, sure, front, reference, 1).tolist() == [0]
    assert choose_batch(points, sure, front, reference, 1, np.array([0.01, 0.9])).tolist() == [1]


def test_without_gains_the_nearest_to_the_front_follow():
    points = np.array([[3.0, 3.0], [1.1, 1.1], [2.0, 2.0]])
    assert choose_batch(points, np.zeros_like(points), np.array([[1.0, 1.0]]), np.array([1.6, 1.6]), 3).tolist() == [
        1,
        2,
        0,
    ]


def test_measured_objectives_span_the_unit_square():
    measured = np.array([[2.0, 5.0], [6.0, 5.0]])
    low, width, reference = unit_scale(measured)
    assert ((measured - low) / width).tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert (reference > 1).all()


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_expected_gains_are_near_sampled_ones(objectives):
    rng = np.random.default_rng(objectives)
    front, reference = rng.random((5, objectives)), np.full(objectives, 1.6)
    mean, std = rng.random((1, objectives)) * 0.5, np.full((1, objectives), 0.1)
    before = hypervolume(front, reference)
    draws = mean + std * rng.standard_normal((4000, objectives))
    sampled = np.mean([hypervolume(np.vstack([front, draw]), reference) - before for draw in draws])
    assert expected_gains(mean, std, front, reference)[0] == pytest.approx(sampled, rel=0.15)


def test_what_is_uncertain_gets_its_chance():
    mean = np.array([[1.0, 1.0], [1.0, 1.0]])
    std = np.array([[0.0, 0.0], [0.2, 0.2]])
    front = np.array([[1.0, 1.0]])
    assert choose_batch(mean, std, front, np.array([1.6, 1.6]), 1).tolist() == [1]
