"""Networks with rounded values in torch, against the integer graphs whose rounding they copy."""

import numpy as np
import onnx
import pytest
import torch

from hw_profiles.onnx_graph import graph_outputs
from nas.networks.building import build_network
from nas.quantization.fake_quantization import (
    FakeQuantizedActivation,
    FakeQuantizedWeight,
    fake_quantized,
    rounded_weights,
)
from nas.quantization.integer_tensors import ActivationScale, IntegerTensors, WeightScale
from nas.quantization.onnx_export import ExportError, capture, export_onnx
from nas.quantization.static_quantization import QuantizableGraph
from search_spaces.registry import get_space


def every(units, step):
    """A policy that quantizes each ``step``-th unit."""
    return {unit: "fp32" if number % step else "int8" for number, unit in enumerate(units)}


def rounded_copy(network, images, folder, policy):
    """The network in torch, and the path of its integer graph."""
    program = capture(network, torch.from_numpy(images[:1]))
    export_onnx(program, network.units, folder / "float.onnx", task=network.space.task)
    QuantizableGraph.calibrated(folder / "float.onnx", images).write(policy, folder / "integer.onnx")
    tensors = IntegerTensors.of(onnx.load(folder / "integer.onnx"), policy)
    return fake_quantized(program, tensors), tensors, folder / "integer.onnx"


def assert_computes_the_same(rounded, path, images):
    expected = graph_outputs(path, images)
    with torch.no_grad():
        found = rounded(torch.from_numpy(images)).numpy()
    differences = np.abs(found - expected).max(axis=1) / np.abs(expected).max()
    # Sums in another order may carry a value over the boundary between two integers.
    assert np.median(differences) < 1e-3
    assert differences.max() < 0.03


@pytest.mark.parametrize("step", [1, 2])
def test_a_rounded_network_computes_what_its_integer_graph_computes(network, images, tmp_path, step):
    policy = every(network.units, step)
    rounded, tensors, path = rounded_copy(network, images, tmp_path, policy)
    assert_computes_the_same(rounded, path, images)
    assert rounded.state_dict().keys() == network.state_dict().keys()
    assert rounded_weights(rounded).keys() == tensors.weights.keys()
    with torch.no_grad():
        plain = network(torch.from_numpy(images)).numpy()
        assert np.abs(rounded(torch.from_numpy(images)).numpy() - plain).max() > 1e-4 * np.abs(plain).max()


@pytest.mark.parametrize("space", ["resnet:tiny", "vit:tiny"])
def test_the_other_families_do_so_too(space, images, tmp_path):
    space = get_space(space)
    torch.manual_seed(0)
    network = build_network(space, space.smallest()).deploy()
    rounded, _, path = rounded_copy(network, images, tmp_path, every(network.units, 1))
    expected = graph_outputs(path, images)
    with torch.no_grad():
        found = rounded(torch.from_numpy(images)).numpy()
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()


def test_a_tensor_that_the_captured_network_lacks_is_named(network, images, tmp_path):
    _, tensors, _ = rounded_copy(network, images, tmp_path, every(network.units, 1))
    program = capture(network, torch.from_numpy(images[:1]))
    unknown = {"elsewhere": ActivationScale(scale=1.0, zero_point=0)}
    changed = IntegerTensors(
        activations={**tensors.activations, **unknown},
        weights=tensors.weights,
        inputs=tensors.inputs,
        outputs=tensors.outputs,
    )
    with pytest.raises(ExportError, match="quantizes elsewhere, which the captured network does not have"):
        fake_quantized(program, changed)


def test_gradients_go_straight_through_and_stop_where_values_are_clipped():
    activation = FakeQuantizedActivation(ActivationScale(scale=0.1, zero_point=10))
    x = torch.tensor([-1.04, -0.26, 0.0, 3.33, 24.5, 24.6, 30.0], requires_grad=True)
    y = activation(x)
    y.backward(torch.ones(7))
    assert torch.allclose(y.detach(), torch.tensor([-1.0, -0.3, 0.0, 3.3, 24.5, 24.5, 24.5]), atol=1e-6)
    assert x.grad.tolist() == [1, 1, 1, 1, 1, 0, 0]
    scale = WeightScale(scale=np.array([0.1, 1.0], dtype=np.float32), axis=0, largest=7)
    weights = torch.tensor([[0.26, -0.9], [6.6, 7.6]], requires_grad=True)
    rounding = FakeQuantizedWeight("w", scale, rank=2)
    rounded = rounding(weights)
    rounded.backward(torch.full((2, 2), 2.0))
    assert torch.allclose(rounded.detach(), torch.tensor([[0.3, -0.7], [7.0, 7.0]]))
    assert weights.grad.tolist() == [[2, 0], [2, 0]]
    with torch.no_grad():
        clipped = rounding.clipped(weights)
        assert torch.allclose(clipped, torch.tensor([[0.26, -0.7], [6.6, 7.0]]))
        assert torch.equal(rounding(clipped), rounded)


def test_every_weight_and_bias_learns(network, images, tmp_path):
    rounded, _, _ = rounded_copy(network, images, tmp_path, every(network.units, 1))
    rounded.train()
    rounded(torch.from_numpy(images)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in rounded.parameters())
    assert not any(parameter.requires_grad for parameter in network.parameters())
