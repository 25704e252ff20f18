"""Scales that stay those of a training, and integer graphs that must compute what was trained."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from hw_profiles.onnx_graph import graph_outputs
from nas.quantization.integer_tensors import IntegerTensors
from nas.quantization.onnx_export import ExportError
from nas.quantization.static_quantization import QuantizableGraph
from nas.quantization.trained_quantization import TrainedQuantization
from search_spaces.errors import NasError


@pytest.fixture(scope="module")
def calibrated(network, float_onnx, images, tmp_path_factory):
    """A calibrated integer graph, and its scales as if they had been trained."""
    path, policy = tmp_path_factory.mktemp("calibrated") / "q.onnx", dict.fromkeys(network.units, "int8")
    graph = QuantizableGraph.calibrated(float_onnx, images)
    graph.write(policy, path)
    tensors = IntegerTensors.of(onnx.load(path), policy)
    ranks = {tensor.name: len(tensor.dims) for tensor in onnx.load(float_onnx).graph.initializer}
    scales = {
        name: weight.scale.reshape(-1, *[1] * (ranks[name] - 1)) * np.float32(1.5)
        for name, weight in tensors.weights.items()
    }
    quantization = TrainedQuantization(
        ranges=graph.ranges.values, weight_scales=scales, outputs=graph_outputs(path, images)
    )
    return path, tensors, quantization


def test_the_graph_has_the_trained_scales(network, float_onnx, calibrated, tmp_path):
    path, before, quantization = calibrated
    policy = dict.fromkeys(network.units, "int8")
    QuantizableGraph.trained(float_onnx, quantization).write(policy, tmp_path / "q.onnx")
    after = IntegerTensors.of(onnx.load(tmp_path / "q.onnx"), policy)
    assert after.activations == before.activations
    assert after.weights.keys() == before.weights.keys()
    for name, weight in after.weights.items():
        np.testing.assert_array_equal(weight.scale, quantization.weight_scales[name].reshape(-1))
        assert weight.axis == before.weights[name].axis
    assert path.stat().st_size == pytest.approx((tmp_path / "q.onnx").stat().st_size, abs=100)


def test_scales_survive_the_file_and_a_damaged_one_is_refused(calibrated, tmp_path):
    _, _, quantization = calibrated
    quantization.save(tmp_path / "scales.safetensors")
    loaded = TrainedQuantization.load(tmp_path / "scales.safetensors")
    assert loaded.ranges == quantization.ranges
    assert loaded.weight_scales.keys() == quantization.weight_scales.keys()
    for name, scale in loaded.weight_scales.items():
        np.testing.assert_array_equal(scale, quantization.weight_scales[name])
    np.testing.assert_array_equal(loaded.outputs, quantization.outputs)
    (tmp_path / "scales.safetensors").write_bytes(b"no")
    for name in ("scales.safetensors", "absent.safetensors"):
        with pytest.raises(NasError, match=r"cannot be read as trained scales.*finish the network again"):
            TrainedQuantization.load(tmp_path / name)


def test_a_graph_that_computes_something_else_is_refused(network, float_onnx, calibrated, images, tmp_path):
    """One tensor has a range that is not the trained one."""
    path, _, quantization = calibrated
    quantization.require_outputs(path, images)
    low, high = quantization.ranges["logits"]
    other = replace(quantization, ranges={**quantization.ranges, "logits": (low / 2, high / 2)}, weight_scales={})
    policy = dict.fromkeys(network.units, "int8")
    QuantizableGraph.trained(float_onnx, other).write(policy, tmp_path / "q.onnx")
    with pytest.raises(ExportError, match="not the network that was trained"):
        quantization.require_outputs(tmp_path / "q.onnx", images)
