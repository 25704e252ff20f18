"""Corrected biases against outputs that are really computed."""

import numpy as np
import onnx
import pytest
import torch

from nas.quantization.bias_correction import correct_biases, expected_shift, rounded_weights
from nas.quantization.static_quantization import QuantizableGraph, QuantizationRecipe, quantize_onnx
from nas.quantization.weight_scales import weight_scales
from search_spaces.precision import SPECS
from search_spaces.quant_spec import QuantSpec

COARSE = QuantSpec(name="w3a8", weight_bits=3, activation_bits=8)


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("spec", [COARSE, SPECS["int8"]])
def test_the_shift_is_the_mean_difference_of_outputs(groups, spec):
    rng = np.random.default_rng(groups)
    weights = rng.normal(size=(6, 6 // groups, 3, 3))
    images = rng.normal(0.7, 1.0, size=(400, 6, 3, 3))
    means = images.mean(axis=0)
    # The same mean at every pixel, as the correction takes it.
    flat = np.broadcast_to(means.mean(axis=(1, 2))[:, None, None], (6, 3, 3))[None]

    def outputs(kernel):
        return torch.nn.functional.conv2d(torch.tensor(flat), torch.tensor(kernel), groups=groups).numpy()[0, :, 0, 0]

    expected = outputs(weights) - outputs(rounded_weights(weights, spec))
    np.testing.assert_allclose(expected_shift(weights, spec, means.mean(axis=(1, 2))), expected, atol=1e-9)


def test_rounded_weights_have_the_precisions_integers_and_dead_channels_stay():
    weights = np.random.default_rng(0).normal(size=(4, 3, 1, 1))
    weights[2] = 0.0
    rounded = rounded_weights(weights, COARSE)
    assert not rounded[2].any()
    for channel in (0, 1, 3):
        integers = rounded[channel] / weight_scales(weights, COARSE)[channel]
        np.testing.assert_allclose(integers, np.round(integers), atol=1e-9)
        assert np.abs(integers).max() == pytest.approx(3)


def test_only_integer_units_are_corrected(network, float_onnx, images, tmp_path):
    graph = QuantizableGraph.calibrated(float_onnx, images, QuantizationRecipe(bias_correction=True))
    corrected = correct_biases(graph._model, {"stem": COARSE}, graph.ranges)
    before = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph._model.graph.initializer}
    changed = {
        tensor.name
        for tensor in corrected.graph.initializer
        if not np.array_equal(onnx.numpy_helper.to_array(tensor), before.get(tensor.name))
    }
    (stem,) = (node for node in corrected.graph.node if node.op_type == "Conv" and node.name.startswith("stem/"))
    assert changed == {stem.input[2]}  # the exporter had left it out: it was zero
    plain, ours = tmp_path / "plain.onnx", tmp_path / "ours.onnx"
    policy = dict.fromkeys(network.units, "int8")
    quantize_onnx(float_onnx, policy, images, plain)
    graph.write(policy, ours)
    assert plain.read_bytes() != ours.read_bytes()
