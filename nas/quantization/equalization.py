"""Cross-layer equalization (Nagel et al., ICCV 2019, section 4.1): channels of equal ranges in neighbouring layers.

Where one convolution alone reads another's outputs, with nothing or a ReLU between, a channel can
be divided by any positive number in the first and multiplied by it in the second. The network
computes the same in float; integers have fewer channels to share a scale with that are much
larger. Hard-swish and clipped ReLUs do not commute with a scale, so layers around them stay.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_SWEEPS: Final = 8
"""Over all pairs: a layer in the middle of three is in two of them."""


def equalize(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a float graph that computes the same with equalized weights.

    A channel's factor is the geometric mean of its largest weights in both layers over that of the
    second; channels that are zero in either stay as they are.
    """
    equalized = onnx.ModelProto()
    equalized.CopyFrom(model)
    weights = {
        tensor.name: onnx.numpy_helper.to_array(tensor).astype(np.float64) for tensor in equalized.graph.initializer
    }
    pairs = list(equalizable_pairs(equalized))
    for _ in range(_SWEEPS):
        for first, second in pairs:
            _equalize_pair(first, second, weights)
    changed = {name for first, second in pairs for name in (*first.input[1:], second.input[1])}
    for tensor in equalized.graph.initializer:
        if tensor.name in changed:
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name].astype(np.float32), tensor.name))
    return equalized


def equalizable_pairs(model: onnx.ModelProto) -> Iterator[tuple[onnx.NodeProto, onnx.NodeProto]]:
    """Convolutions of which the second alone reads the first's outputs, through a ReLU or nothing."""
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    shared = {name for name, nodes in readers.items() if len(nodes) > 1}
    outputs = {value.name for value in model.graph.output}

    def only_reader(node: onnx.NodeProto) -> onnx.NodeProto | None:
        name = node.output[0]
        return readers[name][0] if len(readers[name]) == 1 and name not in outputs else None

    for first in model.graph.node:
        if first.op_type != "Conv":
            continue
        second = only_reader(first)
        if second is not None and second.op_type == "Relu":
            second = only_reader(second)
        # Weights that several nodes read would be scaled several times.
        if second is not None and second.op_type == "Conv" and not shared & {*first.input[1:], *second.input[1:]}:
            yield first, second


def _equalize_pair(first: onnx.NodeProto, second: onnx.NodeProto, weights: dict[str, FloatArray]) -> None:
    """Changes the weights of both and the first's bias."""
    written, read = weights[first.input[1]], weights[second.input[1]]
    ranges, read_ranges = _largest(written), _read_ranges(read, len(written))
    alive = (ranges > np.finfo(np.float32).tiny) & (read_ranges > np.finfo(np.float32).tiny)
    factors = np.ones_like(ranges)
    factors[alive] = np.sqrt(ranges[alive] / read_ranges[alive])
    weights[first.input[1]] = written / factors.reshape(-1, *[1] * (written.ndim - 1))
    if len(first.input) > 2:
        weights[first.input[2]] = weights[first.input[2]] / factors
    weights[second.input[1]] = _scale_inputs(read, factors)


def _largest(weights: FloatArray) -> FloatArray:
    """Of each output channel."""
    largest: FloatArray = np.abs(weights).reshape(len(weights), -1).max(axis=1)
    return largest


def _by_group(weights: FloatArray, channels: int) -> FloatArray:
    """Weights ``(outputs, channels / groups, ...)`` as ``(groups, outputs / groups, channels / groups, -1)``."""
    groups = channels // weights.shape[1]
    return weights.reshape(groups, len(weights) // groups, weights.shape[1], -1)


def _read_ranges(weights: FloatArray, channels: int) -> FloatArray:
    """The largest weight that each input channel is multiplied by, shape ``(channels,)``."""
    ranges: FloatArray = np.abs(_by_group(weights, channels)).max(axis=(1, 3)).reshape(channels)
    return ranges


def _scale_inputs(weights: FloatArray, factors: FloatArray) -> FloatArray:
    grouped = _by_group(weights, len(factors))
    scaled: FloatArray = (grouped * factors.reshape(len(grouped), 1, -1, 1)).reshape(weights.shape)
    return scaled
