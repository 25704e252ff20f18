"""Merged groups compute what the groups did."""

import numpy as np
import pytest

from hw_profiles.runtimes.tvm_integer.grouping import merge_groups, merged_count
from tests.hw_profiles.runtimes.tvm_integer.kernels import convolve


@pytest.mark.parametrize(
    ("groups", "inputs", "outputs", "expected"),
    [(4, 16, 16, 1), (4, 8, 8, 2), (32, 4, 4, 4), (6, 2, 16, 2), (3, 2, 8, 3), (8, 1, 2, 8), (2, 5, 7, 2)],
)
def test_fewest_groups_that_are_whole_words_and_vectors(groups, inputs, outputs, expected):
    assert merged_count(groups, inputs, outputs) == expected


@pytest.mark.parametrize(("groups", "inputs", "outputs"), [(4, 8, 8), (32, 4, 4), (3, 5, 7), (2, 16, 32)])
def test_merged_groups_compute_the_same(groups, inputs, outputs):
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (groups * outputs, inputs, 3, 3)).astype(np.int8)
    image = rng.integers(0, 256, (4, 5, groups * inputs)).astype(np.uint8)
    merged, count = merge_groups(weights, groups)
    assert merged.shape[1] * count == groups * inputs
    np.testing.assert_array_equal(
        convolve(image, merged, 99, groups=count), convolve(image, weights, 99, groups=groups)
    )
