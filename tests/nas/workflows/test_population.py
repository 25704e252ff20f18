"""What a calibration chooses from: everything that can be built of a small space, all sizes of a large one."""

import numpy as np
import pytest

from hw_profiles.detect import resolve_profile
from nas.workflows.population import calibrated_precisions, population
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space, space_names

ONNX = resolve_profile("local-cpu/onnxruntime")


@pytest.mark.parametrize("name", space_names())
def test_a_population_reaches_from_the_smallest_to_the_largest(name):
    space = get_space(name)
    rows = population(space, 0)
    assert np.array_equal(np.unique(space.canonicalize(rows), axis=0), rows)
    assert space.connected(rows).all()
    macs = CostFacts(space).column("macs", rows)
    ends = CostFacts(space).column("macs", np.stack([space.smallest(), space.largest()]))
    assert (macs.min(), macs.max()) == tuple(ends)
    assert np.array_equal(population(space, 0), rows)


def test_a_small_space_is_taken_whole_without_the_cell_that_computes_nothing():
    space = get_space("nasbench201")
    rows = population(space, 0)
    assert len(rows) == 5424
    assert np.array_equal(rows, population(space, 1, calibrated_precisions(space, ONNX, "fp32")))
    sampled = np.unique(space.sample(500, np.random.default_rng(0)), axis=0)
    missing = {tuple(row) for row in sampled.tolist()} - {tuple(row) for row in rows.tolist()}
    assert missing <= {(0,) * 6}


def test_precisions_are_chosen():
    space = get_space("mobilenet_v3:tiny")
    both, plain = population(space, 0), population(space, 0, calibrated_precisions(space, ONNX, "fp32"))
    assert (both[:, space.policy_columns] > 0).any()
    assert not (plain[:, space.policy_columns] > 0).any()


def test_what_a_device_only_emulates_is_not_measured():
    space = get_space("mobilenet_v3:tiny")
    assert ONNX.executes("w4a8") == "emulated"
    rows = population(space, 0, calibrated_precisions(space, ONNX, "all"))
    assert np.unique(rows[:, space.policy_columns]).tolist() == [0, space.precisions.index("int8")]
