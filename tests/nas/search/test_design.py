"""Starts of searches: corners and spread, and what cost facts promise."""

import numpy as np
import pytest

from nas.search.design import designed_candidates, promising_candidates
from nas.search.pareto import hypervolume
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space

SPACE = get_space("mnasnet")
TABLE = np.unique(SPACE.sample(400, np.random.default_rng(0)), axis=0)


def test_a_designed_start_begins_with_the_corners():
    rows = designed_candidates(SPACE, 10, seed=3)
    assert len(np.unique(rows, axis=0)) == 10
    np.testing.assert_array_equal(rows[:2], np.stack([SPACE.smallest(), SPACE.largest()]))
    np.testing.assert_array_equal(rows[:6], designed_candidates(SPACE, 6, seed=3))


@pytest.mark.parametrize("count", [1, 3, 20, 399, 500])
def test_a_promising_start_is_distinct_candidates_and_follows_from_the_seed(count):
    rows = promising_candidates(SPACE, TABLE, count, seed=1)
    assert len(rows) == len(np.unique(rows, axis=0)) == min(count, len(TABLE))
    known = {row.tobytes() for row in TABLE}
    assert all(row.tobytes() in known for row in rows)
    np.testing.assert_array_equal(rows, promising_candidates(SPACE, TABLE, count, seed=1))


def test_other_seeds_promise_other_candidates():
    starts = {promising_candidates(SPACE, TABLE, 20, seed).tobytes() for seed in range(4)}
    assert len(starts) == 4


@pytest.mark.parametrize("seed", range(3))
def test_a_promising_start_dominates_more_than_nine_of_ten_random_ones(seed):
    facts = CostFacts(SPACE)
    rng = np.random.default_rng(seed)
    log_ms = np.log(facts.column("macs", TABLE)) + rng.normal(0, 0.3, len(TABLE))
    lost = -np.log(facts.column("parameters", TABLE)) + rng.normal(0, 0.3, len(TABLE))
    losses = np.stack([log_ms, lost], axis=1)
    number = {row.tobytes(): row_number for row_number, row in enumerate(TABLE)}

    def volume(rows):
        return hypervolume(losses[[number[row.tobytes()] for row in rows]], losses.max(axis=0))

    drawn = [volume(rng.permutation(TABLE)[:20]) for _ in range(20)]
    assert volume(promising_candidates(SPACE, TABLE, 20, seed)) > np.quantile(drawn, 0.9)


def test_a_single_candidate_is_the_start():
    one = TABLE[:1]
    np.testing.assert_array_equal(promising_candidates(SPACE, one, 20, seed=0), one)
