"""Ranges of activations against brute force."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_profiles.quantized_units import QUANTIZED_OPERATORS
from nas.quantization.activation_ranges import ActivationRanges, RangeSettings, narrowed_range
from nas.quantization.static_quantization import QuantizableGraph, QuantizationRecipe
from search_spaces.errors import UsageError

BINS = 256


def histogram(values):
    low, high = float(values.min()), float(values.max())
    return (low, high), np.histogram(values, bins=BINS, range=(low, high))[0]


def rounding_error(values, low, high, levels=256):
    """Squared error of values that are really clipped and rounded."""
    step = (high - low) / (levels - 1)
    zero = np.round(-low / step)
    rounded = (np.clip(np.round(values / step) + zero, 0, levels - 1) - zero) * step
    return float(((values - rounded) ** 2).mean())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["mse", "percentile"]), st.floats(-3, 3))
def test_ranges_lie_inside_the_whole_and_hold_zero(seed, rule, shift):
    values = np.random.default_rng(seed).standard_t(2, 4000) + shift
    whole, counts = histogram(values)
    low, high = narrowed_range(whole, counts, RangeSettings(rule=rule, percentile=99.0))
    assert low <= 0.0 <= high
    assert low >= min(whole[0], 0.0) - 1e-9
    assert high <= max(whole[1], 0.0) + 1e-9
    assert high > low


def test_the_least_squared_error_is_near_that_of_really_rounded_values():
    values = np.random.default_rng(0).standard_t(3, 20_000)
    whole, counts = histogram(values)
    chosen = narrowed_range(whole, counts, RangeSettings(rule="mse"))
    ends = [(whole[0] * a, whole[1] * b) for a in np.linspace(0.3, 1, 36) for b in np.linspace(0.3, 1, 36)]
    best = min(rounding_error(values, *pair) for pair in ends)
    assert rounding_error(values, *chosen) <= 1.05 * best
    assert rounding_error(values, *chosen) < rounding_error(values, *whole)


def test_a_percentile_leaves_out_that_share_at_either_end():
    values = np.random.default_rng(0).standard_normal(100_000)
    low, high = narrowed_range(*histogram(values), RangeSettings(rule="percentile", percentile=99.0))
    np.testing.assert_allclose([low, high], np.quantile(values, [0.01, 0.99]), atol=0.05)


@pytest.mark.parametrize("whole", [(0.0, 0.0), (2.0, 2.0), (-1.0, -1.0)])
@pytest.mark.parametrize("rule", ["minmax", "mse", "percentile"])
def test_a_range_that_is_a_point_stays_one(whole, rule):
    assert narrowed_range(whole, np.zeros(BINS, dtype=np.int64), RangeSettings(rule=rule)) == whole


@pytest.mark.parametrize(("changes", "words"), [({"rule": "guess"}, "guess"), ({"percentile": 50.0}, "more than 50")])
def test_settings_that_cannot_be_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        RangeSettings(**changes)


def test_whole_ranges_and_means_are_those_of_the_tensors(float_onnx, images):
    whole = QuantizationRecipe(ranges=RangeSettings(rule="minmax"))
    graph = QuantizableGraph.calibrated(float_onnx, images, whole)
    convolutions = [node for node in graph._model.graph.node if node.op_type == "Conv"]
    scaled = convolutions[0].input[0]  # the images, at the network's own resolution
    low, high = graph.ranges.values[scaled]
    assert images.min() <= low < 0 < high <= images.max()
    np.testing.assert_allclose(graph.ranges.means[scaled], images.mean(axis=(0, 2, 3)), atol=0.05)
    narrow = ActivationRanges.observe(graph._model, QUANTIZED_OPERATORS, images, RangeSettings(rule="mse"))
    assert narrow.values.keys() == graph.ranges.values.keys()
    for name, (low, high) in graph.ranges.values.items():
        assert low <= narrow.values[name][0] or low > 0
        assert narrow.values[name][1] <= high or high < 0
    read = {
        name for node in graph._model.graph.node if node.op_type == "Conv" for name in (node.input[0], *node.output)
    }
    assert read <= graph.ranges.values.keys()
    assert not {tensor.name for tensor in graph._model.graph.initializer} & graph.ranges.values.keys()
    assert isinstance(graph._model, onnx.ModelProto)
