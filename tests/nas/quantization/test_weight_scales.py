"""Scales of weights against all scales that are tried one by one."""

import numpy as np
import pytest

from nas.quantization.weight_scales import rounded, weight_scales
from search_spaces.precision import SPECS
from search_spaces.quant_spec import QuantSpec

W4A8 = SPECS["w4a8"]
PER_TENSOR = QuantSpec(name="w3a8", weight_bits=3, activation_bits=8, weight_granularity="tensor")


def _weights():
    weights = np.random.default_rng(0).normal(size=(6, 24, 3, 3))
    weights[1] *= 1e-3
    weights[2] = 0.0
    weights[3, 0, 0, 0] = 30.0
    return weights


def test_8_bit_scales_clip_nothing():
    weights = _weights()
    scales = weight_scales(weights, SPECS["int8"])
    np.testing.assert_allclose(scales.ravel()[[0, 1, 3]] * 127, np.abs(weights).max(axis=(1, 2, 3))[[0, 1, 3]])


@pytest.mark.parametrize("spec", [W4A8, PER_TENSOR], ids=lambda spec: spec.name)
def test_scales_of_few_bits_have_the_least_squared_error(spec):
    weights = _weights()
    found = rounded(weights, weight_scales(weights, spec), spec)
    axes = (1, 2, 3) if spec.weight_granularity == "channel" else None
    largest = np.abs(weights).max(axis=axes, keepdims=True)
    for share in np.linspace(0.4, 1.0, 25):
        scale = np.where(largest > 0, largest / spec.largest_weight * share, 1.0)
        other = np.clip(np.round(weights / scale), -spec.largest_weight, spec.largest_weight) * scale
        errors = [((one - weights) ** 2).sum(axis=axes) for one in (found, other)]
        assert (errors[0] <= errors[1] + 1e-12).all()


def test_it_is_better_than_the_largest_weights_scale():
    weights = _weights()[:1]
    whole = np.abs(weights).max() / W4A8.largest_weight
    found = rounded(weights, weight_scales(weights, W4A8), W4A8)
    plain = np.round(weights / whole) * whole
    assert ((found - weights) ** 2).sum() < 0.9 * ((plain - weights) ** 2).sum()


def test_channels_of_zeros_stay_so():
    weights = _weights()
    scales = weight_scales(weights, W4A8)
    assert scales[2] == 1.0
    assert not rounded(weights, scales, W4A8)[2].any()
