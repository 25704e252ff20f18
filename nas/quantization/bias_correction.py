"""Biases that make up for rounded weights (Nagel et al., ICCV 2019, section 4.2, with means from images).

Rounding changes the expected output of a channel by the sum of each weight's error times the
mean of what it is multiplied by. The bias takes that change back. Means are those of the float
network; at the border, where a convolution reads zeros, the correction is too large.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from hw_profiles.quantized_units import unit_of
from nas.quantization.activation_ranges import ActivationRanges
from nas.quantization.weight_scales import rounded, weight_scales
from search_spaces.quant_spec import QuantSpec

FloatArray = NDArray[np.float64]


def correct_biases(model: onnx.ModelProto, specs: Mapping[str, QuantSpec], ranges: ActivationRanges) -> onnx.ModelProto:
    """A copy of a float graph whose integer units' biases are corrected.

    Args:
        model: the float graph; not changed.
        specs: precision by unit.
        ranges: with the channels' means of the operators' inputs.
    """
    corrected = onnx.ModelProto()
    corrected.CopyFrom(model)
    tensors = {tensor.name: tensor for tensor in corrected.graph.initializer}
    for node in corrected.graph.node:
        spec = specs.get(unit_of(node.name))
        if spec is None or not spec.quantized or node.op_type not in ("Conv", "Gemm"):
            continue
        weights, means, axis = tensors.get(node.input[1]), ranges.means.get(node.input[0]), channel_axis(node)
        if weights is None or means is None or axis is None:
            continue
        values = np.moveaxis(onnx.numpy_helper.to_array(weights).astype(np.float64), axis, 0)
        shift = expected_shift(values, spec, means)
        if len(node.input) < 3:  # the exporter leaves out biases of zeros
            node.input.append(f"{node.input[1]}_bias")
            corrected.graph.initializer.append(onnx.numpy_helper.from_array(shift.astype(np.float32), node.input[2]))
        elif (bias := tensors.get(node.input[2])) is not None:
            changed = onnx.numpy_helper.to_array(bias) + shift.astype(np.float32)
            bias.CopyFrom(onnx.numpy_helper.from_array(changed, bias.name))
    return corrected


def expected_shift(weights: FloatArray, spec: QuantSpec, means: FloatArray) -> FloatArray:
    """By how much rounding lowers each output channel's mean, shape ``(outputs,)``.

    Args:
        weights: shape ``(outputs, inputs per group, ...)``.
        spec: the precision that they are rounded to.
        means: of the input's channels, shape ``(inputs,)``.
    """
    error = (weights - rounded_weights(weights, spec)).reshape(len(weights), weights.shape[1], -1).sum(axis=2)
    groups = len(means) // error.shape[1]
    of_group = means.reshape(groups, -1)[np.arange(len(weights)) // max(len(weights) // groups, 1)]
    shift: FloatArray = (error * of_group).sum(axis=1)
    return shift


def rounded_weights(weights: FloatArray, spec: QuantSpec) -> FloatArray:
    """Weights of shape ``(outputs, ...)`` as the precision holds them; all-zero channels stay zero."""
    return rounded(weights, weight_scales(weights, spec), spec)


def channel_axis(node: onnx.NodeProto) -> int | None:
    """The axis of the output channels in an operator's weights; None for operators without."""
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        return 0 if transposed else 1
    return -1 if node.op_type == "MatMul" else None
