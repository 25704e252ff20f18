"""Weights of fewer than 8 bits in quantized graphs.

ONNX Runtime's quantizer takes ranges in place of scales, and writes 8-bit integers. They are clipped to those of the
precision, and what fits in 4 bits becomes INT4 tensors, which ONNX packs two in a byte. ONNX Runtime
computes with these in float: the graph has the values that integer kernels compute with.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import version_converter

from hw_profiles.quantized_units import unit_of
from nas.quantization.bias_correction import channel_axis
from nas.quantization.weight_scales import weight_scales
from search_spaces.quant_spec import QuantSpec

_QUANTIZER_LARGEST: Final = 127
"""What the quantizer divides the end of a range by."""
_INT4_OPSET: Final = 21


def weight_ranges(model: onnx.ModelProto, specs: Mapping[str, QuantSpec]) -> dict[str, list[dict[str, Any]]]:
    """Ranges of weights whose precision is not the quantizer's own, which is 8 bits per channel, as it takes them.

    A range that ends at 127 times a scale gives the quantizer that scale.

    Args:
        model: the float graph.
        specs: precision by unit.
    """
    ranges: dict[str, list[dict[str, Any]]] = {}
    for name, (spec, axis, weights) in _other_weights(model, specs).items():
        ends = weight_scales(np.moveaxis(weights.astype(np.float64), axis, 0), spec).ravel() * _QUANTIZER_LARGEST
        ranges[name] = [{"rmin": float(-end), "rmax": float(end), "symmetric": True} for end in ends]
        if spec.weight_granularity == "channel":
            ranges[name][0]["axis"] = axis
    return ranges


def narrow_weights(path: Path, model: onnx.ModelProto, specs: Mapping[str, QuantSpec]) -> None:
    """Clips weights of fewer than 8 bits to their precision's integers, and packs those of at most 4 bits.

    Args:
        path: of the quantizer's file, which is changed if it has such weights.
        model: the float graph that it was written from.
        specs: precision by unit.
    """
    narrow = {name: spec for name, (spec, _, _) in _other_weights(model, specs).items() if spec.weight_bits < 8}
    if not narrow:
        return
    quantized = onnx.load(path)
    if any(spec.stored_weight_bits == 4 for spec in narrow.values()):
        quantized = version_converter.convert_version(quantized, _INT4_OPSET)
    tensors = {tensor.name: tensor for tensor in quantized.graph.initializer}
    for name, spec in narrow.items():
        for tensor in (tensors.get(f"{name}_quantized"), tensors.get(f"{name}_zero_point")):
            if tensor is None:  # an operator that the quantizer left in float
                continue
            values = np.clip(onnx.numpy_helper.to_array(tensor), -spec.largest_weight, spec.largest_weight)
            stored = values.astype(ml_dtypes.int4 if spec.stored_weight_bits == 4 else np.int8)
            tensor.CopyFrom(onnx.numpy_helper.from_array(stored, tensor.name))
    onnx.save(quantized, path)


def _other_weights(
    model: onnx.ModelProto, specs: Mapping[str, QuantSpec]
) -> dict[str, tuple[QuantSpec, int, NDArray[np.float32]]]:
    """Weights of integer units other than 8 bits per channel: precision, axis of the output channels, values."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        spec, axis = specs.get(unit_of(node.name)), channel_axis(node)
        if spec is None or not spec.quantized or axis is None or node.input[1] not in tensors:
            continue
        if (spec.weight_bits, spec.weight_granularity) != (8, "channel"):
            values = onnx.numpy_helper.to_array(tensors[node.input[1]])
            found[node.input[1]] = spec, axis % values.ndim, values
    return found
