"""What a calibration chooses from: everything that can be built of a small space, all sizes of a large one."""

import numpy as np
import pytest

from nas.workflows.population import population
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space, space_names


@pytest.mark.parametrize("name", space_names())
def test_a_population_reaches_from_the_smallest_to_the_largest(name):
    space = get_space(name)
    rows = population(space, 0, "all")
    assert np.array_equal(np.unique(space.canonicalize(rows), axis=0), rows)
    assert space.connected(rows).all()
    macs = CostFacts(space).column("macs", rows)
    ends = CostFacts(space).column("macs", np.stack([space.smallest(), space.largest()]))
    assert (macs.min(), macs.max()) == tuple(ends)
    assert np.array_equal(population(space, 0, "all"), rows)


def test_a_small_space_is_taken_whole_without_the_cell_that_computes_nothing():
    space = get_space("nasbench201")
    rows = population(space, 0, "all")
    assert len(rows) == 5424
    assert np.array_equal(rows, population(space, 1, "fp32"))
    sampled = np.unique(space.sample(500, np.random.default_rng(0)), axis=0)
    missing = {tuple(row) for row in sampled.tolist()} - {tuple(row) for row in rows.tolist()}
    assert missing <= {(0,) * 6}


def test_precisions_are_chosen():
    space = get_space("mobilenet_v3:tiny")
    both, plain = population(space, 0, "all"), population(space, 0, "fp32")
    assert (both[:, space.policy_columns] > 0).any()
    assert not (plain[:, space.policy_columns] > 0).any()
