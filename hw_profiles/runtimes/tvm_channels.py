"""Float networks with whole vectors of channels, where few more channels make them so.

A width such as 184 is eleven and a half vectors of 16. A kernel then takes half vectors throughout, which costs far
more than eight channels of zeros do (ONNX Runtime holds channels in blocks of 16 likewise).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

_LARGEST_SHARE: Final = 1 / 16
"""Of channels of zeros, by the network's own."""
_KEEPING_ZEROS: Final = ("Relu", "HardSwish", "Add")
"""Operators of one shape that make zeros from zeros."""
_IMAGE_RANK: Final = 4


def fill_vectors(model: onnx.ModelProto, lanes: int) -> None:
    """Adds channels of zeros to the weights and biases of convolutions, in place; the network computes the same.

    Only tensors between convolutions get more channels: what is an input or output of the network, or is read or
    written by any other operator, keeps its own.

    Args:
        model: float graph with static shapes; its tensors are not changed, since others may read them.
        lanes: float32 values that a vector register holds.
    """
    graph = _Channels(model)
    wider = {
        root: -(-channels // lanes) * lanes
        for root, channels in graph.closed_widths().items()
        if 0 < -channels % lanes <= channels * _LARGEST_SHARE
    }
    if not wider:
        return
    for node in graph.convolutions:
        inputs, outputs = (wider.get(graph.find(name)) for name in (node.input[0], node.output[0]))
        weights = graph.constants[node.input[1]]
        depthwise = _group(node) > 1
        sizes = (outputs or len(weights), weights.shape[1] if depthwise else inputs or weights.shape[1])
        if sizes != weights.shape[:2]:
            _replace(model, node, 1, _grown(weights, (*sizes, *weights.shape[2:])))
            if len(node.input) > 2 and outputs:
                _replace(model, node, 2, _grown(graph.constants[node.input[2]], (outputs,)))
        if depthwise and outputs:
            next(entry for entry in node.attribute if entry.name == "group").i = outputs
    # The shapes of inner tensors are not what they were.
    del model.graph.value_info[:]


@dataclass
class _Channels:
    """Tensors of images in sets of equal width: those that an operator between them cannot change."""

    model: onnx.ModelProto
    convolutions: list[onnx.NodeProto] = field(default_factory=list)
    """With constant weights, ungrouped or depthwise."""
    constants: dict[str, NDArray[Any]] = field(init=False)
    _parents: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.model.graph.initializer}

    def find(self, name: str) -> str:
        """The tensor that stands for a set."""
        while name in self._parents:
            name = self._parents[name]
        return name

    def closed_widths(self) -> dict[str, int]:
        """The width of each set that may get more channels, by the tensor that stands for it."""
        graph = onnx.shape_inference.infer_shapes(self.model).graph
        entries = (*graph.value_info, *graph.input, *graph.output)
        shapes = {entry.name: [side.dim_value for side in entry.type.tensor_type.shape.dim] for entry in entries}
        kept = {entry.name for entry in (*graph.input, *graph.output)}
        for node in self.model.graph.node:
            kept |= set(self._kept_by(node))
        roots = {self.find(name) for name in kept}
        return {
            self.find(name): shape[1]
            for name, shape in shapes.items()
            if len(shape) == _IMAGE_RANK and self.find(name) not in roots
        }

    def _kept_by(self, node: onnx.NodeProto) -> Iterator[str]:
        """Joins the tensors of an operator that can take more channels; gives those of one that cannot."""
        together = [*node.input, node.output[0]]
        if node.op_type == "Conv" and all(name in self.constants for name in node.input[1:]):
            together = [node.input[0], node.output[0]]
            group, shape = _group(node), self.constants[node.input[1]].shape
            if group == 1 or (group == shape[0] and shape[1] == 1):
                self.convolutions.append(node)
                if group > 1:
                    self._join(together)
                return
        elif node.op_type in _KEEPING_ZEROS and not self.constants.keys() & set(node.input):
            self._join(together)
            return
        yield from (*node.input, *node.output)

    def _join(self, names: list[str]) -> None:
        first = self.find(names[0])
        for name in names[1:]:
            if self.find(name) != first:
                self._parents[self.find(name)] = first


def _group(node: onnx.NodeProto) -> int:
    return next((int(entry.i) for entry in node.attribute if entry.name == "group"), 1)


def _grown(values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The values with zeros behind them."""
    return np.pad(values, [(0, after - before) for before, after in zip(values.shape, shape, strict=True)])


def _replace(model: onnx.ModelProto, node: onnx.NodeProto, place: int, values: NDArray[Any]) -> None:
    name = f"{node.output[0]}:{place}:filled"
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    node.input[place] = name
