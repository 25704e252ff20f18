"""Networks that compute in float what their integer graphs compute, so that gradients reach the weights.

Exactly the tensors that an integer graph quantizes are rounded to its integers and back (Jacob et
al., CVPR 2018). A rounded value's gradient is that of the value itself, or zero where it was
clipped (the straight-through estimator of Bengio et al., arXiv:1308.3432).
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from nas.quantization.integer_tensors import ActivationScale, IntegerTensors, WeightScale
from nas.quantization.onnx_export import ExportError

_LARGEST_ACTIVATION: Final = 255
_LARGEST_BIAS: Final = 2**31 - 1
_WEIGHTED: Final = (torch.ops.aten.conv2d.default, torch.ops.aten.linear.default)
"""Operators whose first arguments are the input, the weights and, if there is one, the bias."""


def fake_quantized(program: ExportedProgram, tensors: IntegerTensors) -> fx.GraphModule:
    """A trainable copy of a captured network that rounds what its integer graph rounds.

    It takes any number of images ``(n, c, h, w)`` and returns logits ``(n, classes)``. Its state has the
    names of the captured network's.

    Args:
        program: the float network, by :func:`nas.quantization.onnx_export.capture`.
        tensors: of the integer graph that was made from the same program.

    Raises:
        ExportError: if the program lacks a tensor of the integer graph.
    """
    captured = program.module(check_guards=False)
    nodes = _nodes_by_name(captured.graph, program, tensors)
    missing = sorted({*tensors.activations, *tensors.weights} - nodes.keys())
    if missing:
        raise ExportError(
            f"the integer graph quantizes {', '.join(missing[:3])}, which the captured network does not have, so"
            " quantization-aware training is not possible."
        )
    rounding = _Roundings(captured)
    for bias, module in list(_bias_roundings(captured.graph, nodes, tensors)):
        rounding.insert(bias, module)
    for name, weight in tensors.weights.items():
        rounding.insert(nodes[name], FakeQuantizedWeight(name, weight, captured.get_parameter(name).ndim))
    for name, activation in tensors.activations.items():
        rounding.insert(nodes[name], FakeQuantizedActivation(activation))
    _take_and_return_tensors(captured.graph)
    return copy.deepcopy(fx.GraphModule(captured, captured.graph)).requires_grad_()


def rounded_weights(network: nn.Module) -> "dict[str, FakeQuantizedWeight]":
    """What rounds the weights of a network by :func:`fake_quantized`, by the weights' names."""
    return {module.weight: module for module in network.modules() if isinstance(module, FakeQuantizedWeight)}


class FakeQuantizedActivation(nn.Module):
    """Rounds an activation to its integers and back."""

    def __init__(self, scale: ActivationScale) -> None:
        super().__init__()
        self.scale, self.zero_point = scale.scale, scale.zero_point

    def forward(self, x: Tensor) -> Tensor:
        """What the integers of ``x``, of any shape, stand for."""
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, 0, _LARGEST_ACTIVATION)


class FakeQuantizedWeight(nn.Module):
    """Rounds weights to their integers and back; the scales stay as they are."""

    scale: Tensor

    def __init__(self, weight: str, scale: WeightScale, rank: int) -> None:
        super().__init__()
        self.weight = weight
        shape = () if scale.axis is None else tuple(-1 if axis == scale.axis else 1 for axis in range(rank))
        self.register_buffer("scale", torch.from_numpy(scale.scale.copy()).reshape(shape), persistent=False)
        self.largest = scale.largest

    def forward(self, weights: Tensor) -> Tensor:
        """What the integers of ``weights`` stand for."""
        rounded: Tensor = _Rounding.apply(weights, self.scale, self.largest)  # type: ignore[no-untyped-call]
        return rounded

    def clipped(self, weights: Tensor) -> Tensor:
        """The nearest weights within the range of the integers; they have the same integers."""
        bound = self.scale * self.largest
        return torch.minimum(torch.maximum(weights, -bound), bound)


class FakeQuantizedBias(nn.Module):
    """Rounds biases to multiples of their input's scale times their weights' scales."""

    scale: Tensor

    def __init__(self, activation: ActivationScale, weights: WeightScale) -> None:
        super().__init__()
        scale = torch.from_numpy(weights.scale.copy()).reshape(-1) * activation.scale
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, biases: Tensor) -> Tensor:
        """What the integers of ``biases``, shape ``(channels,)``, stand for."""
        rounded: Tensor = _Rounding.apply(biases, self.scale, _LARGEST_BIAS)  # type: ignore[no-untyped-call]
        return rounded


class _Rounding(torch.autograd.Function):
    """To multiples of a scale, at most ``largest`` of them to either side."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: Tensor, largest: int) -> Tensor:  # noqa: ANN401 - torch types no context
        integers = torch.round(values / scale)
        ctx.save_for_backward(integers.abs() <= largest)
        return integers.clamp(-largest, largest) * scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None


class _Roundings:
    """Puts modules behind nodes of a captured graph."""

    def __init__(self, captured: fx.GraphModule) -> None:
        self._captured, self._count = captured, 0

    def insert(self, node: fx.Node, module: nn.Module) -> None:
        name = f"rounding_{self._count}"
        self._count += 1
        self._captured.add_submodule(name, module)
        with self._captured.graph.inserting_after(node):
            rounded = self._captured.graph.call_module(name, (node,))
        node.replace_all_uses_with(rounded, delete_user_cb=lambda user: user is not rounded)


def _take_and_return_tensors(graph: fx.Graph) -> None:
    """Images in, logits out, where a captured graph packs and unpacks its arguments."""
    graph.set_codegen(fx.graph.CodeGen())
    (output,) = graph.find_nodes(op="output")
    ((logits,),) = output.args
    output.args = (logits,)


def _nodes_by_name(graph: fx.Graph, program: ExportedProgram, tensors: IntegerTensors) -> dict[str, fx.Node]:
    """Nodes by the names that their values have in the ONNX graph: weights by their paths, others by their own."""
    inputs = dict(zip(program.graph_signature.user_inputs, tensors.inputs, strict=True))
    outputs = dict(zip(program.graph_signature.user_outputs, tensors.outputs, strict=True))
    called = inputs | outputs
    return {
        str(node.target) if node.op == "get_attr" else called.get(node.name, node.name): node for node in graph.nodes
    }


def _bias_roundings(
    graph: fx.Graph, nodes: Mapping[str, fx.Node], tensors: IntegerTensors
) -> Iterator[tuple[fx.Node, FakeQuantizedBias]]:
    """The biases of integer operators: those that read integers and have integer weights."""
    names = {node: name for name, node in nodes.items()}
    for operator in graph.nodes:
        if operator.target not in _WEIGHTED:
            continue
        read, weights, bias = (*operator.args, None)[:3]
        activation, weight = tensors.activations.get(names[read]), tensors.weights.get(names[weights])
        if bias is not None and activation is not None and weight is not None:
            yield bias, FakeQuantizedBias(activation, weight)
