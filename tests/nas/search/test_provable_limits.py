"""What cost facts prove of limits before anything is evaluated."""

import dataclasses

import numpy as np
import pytest

from hw_profiles.detect import resolve_profile
from hw_profiles.sizes import predicted_weight_bytes
from nas.metrics import Constraints
from nas.search.provable_limits import infeasible_limits
from nas.search.restriction import Restriction
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")
FLOAT = Restriction(precisions=("fp32",))
INT8 = Restriction(precisions=("fp32", "int8"))
MIB = 1 << 20


def limits(**values):
    return Constraints.from_limits(values)


@pytest.mark.parametrize("stored_bits", [8, 32])
def test_a_size_below_the_smallest_weights_is_infeasible(stored_bits):
    """A runtime that stores int8 units as float32 has larger files, and its limit lies higher."""
    profile = dataclasses.replace(resolve_profile("local-cpu/onnxruntime"), weight_bits={"int8": stored_bits})
    smallest = SPACE.with_policy(SPACE.smallest(), "int8")[None]
    facts = CostFacts(SPACE)
    least = (
        facts.column("weight_bytes", smallest)[0] if stored_bits == 8 else 4 * facts.column("parameters", smallest)[0]
    )
    found = infeasible_limits(SPACE, limits(max_size_bytes=least - 1), profile, INT8)
    assert list(found) == ["max_size_bytes"]
    assert f"{least:.0f} bytes on {profile.id}" in found["max_size_bytes"]
    assert infeasible_limits(SPACE, limits(max_size_bytes=least), profile, INT8) == {}


def test_a_precision_that_may_not_be_proposed_lowers_no_size():
    profile = resolve_profile("local-cpu/onnxruntime")
    packed, whole = (
        CostFacts(SPACE).column("weight_bytes", SPACE.with_policy(SPACE.smallest(), name)[None])[0]
        for name in ("w4a8", "int8")
    )
    between = limits(max_size_bytes=(packed + whole) / 2)
    assert infeasible_limits(SPACE, between, profile, INT8)
    assert infeasible_limits(SPACE, between, profile, Restriction()) == {}


def test_memory_holds_the_weights_up_to_what_a_reading_misses():
    space, profile = get_space("mobilenet_v3:imagenet"), resolve_profile("local-cpu/onnxruntime")
    weights = 4 * CostFacts(space).column("parameters", space.smallest()[None])[0]
    assert weights > 2 * MIB
    both = limits(max_peak_memory_bytes=weights - MIB - 1, max_size_bytes=weights - 1)
    assert list(infeasible_limits(space, both, profile, FLOAT)) == ["max_peak_memory_bytes", "max_size_bytes"]
    assert infeasible_limits(space, limits(max_peak_memory_bytes=weights - MIB), profile, FLOAT) == {}


def test_cost_facts_prove_nothing_of_other_metrics():
    profile = resolve_profile("local-cpu/onnxruntime")
    others = limits(max_latency_p50_ms=1e-6, max_latency_p95_ms=1e-6, max_load_time_ms=1e-6, min_accuracy=1.0)
    assert infeasible_limits(SPACE, others, profile, Restriction()) == {}


@pytest.mark.parametrize(
    "name", ["mobilenet_v3:tiny", "mobilenet_v3:tiny-fused", "mobilenet_v3:imagenet", "resnet:tiny", "vit:tiny"]
)
def test_no_network_is_smaller_than_the_bound(name):
    """Mixed policies and all architectures, small ones more often than not."""
    space, profile = get_space(name), resolve_profile("local-cpu/onnxruntime")
    rng = np.random.default_rng(0)
    small = np.minimum(space.sample(2000, rng), space.sample(2000, rng))
    least = predicted_weight_bytes(space, space.canonicalize(small), profile).min()
    assert infeasible_limits(space, limits(max_size_bytes=least), profile, Restriction()) == {}
