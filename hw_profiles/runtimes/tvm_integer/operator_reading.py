"""Reads the operators of a QDQ graph one by one: from the nodes between DequantizeLinear and QuantizeLinear."""

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from hw_profiles.runtimes.tvm_integer.operators import (
    ActivationOperator,
    AddOperator,
    ConvolutionOperator,
    GateOperator,
    IntegerOperator,
    MeanOperator,
    PoolOperator,
    QuantizedTensor,
)
from hw_profiles.runtimes.tvm_integer.schemes import FOUR_BITS_FACTOR, Activation, Clip, Quantization
from hw_profiles.runtimes.tvm_integer.shapes import ActivationShape

_RESHAPES: Final = ("Unsqueeze", "Squeeze", "Reshape", "Flatten", "Identity")
_FOLLOWING: Final = ("Relu", "Clip", "HardSwish", "HardSigmoid", "Gelu")
_MATRIX_RANK: Final = 2
_WEIGHT_BITS: Final[dict[str, Literal[4, 8]]] = {"int4": 4, "int8": 8}
"""By the name of the dtype."""
_INT32_LIMIT: Final = 2.0**31 - 1
MOST_STEPS: Final = _INT32_LIMIT / 2
"""What sums and scaled results may reach before they are clipped."""


class NotIntegerError(Exception):
    """An operator that has no integer form here; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    values: NDArray[np.int8]
    bits: Literal[4, 8]
    scales: NDArray[np.float32]
    """One, or one per output channel."""
    axis: int
    """That scales are along."""


@dataclass
class OperatorReader:
    """Looks up the nodes of a QDQ graph and reads integer operators from them."""

    model: onnx.ModelProto
    constants: dict[str, NDArray[Any]] = field(init=False)
    producers: dict[str, int] = field(init=False)
    consumers: dict[str, list[int]] = field(init=False)
    shapes: dict[str, tuple[int, ...]] = field(init=False)

    def __post_init__(self) -> None:
        graph = self.model.graph
        self.nodes = list(graph.node)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.producers = {name: index for index, node in enumerate(self.nodes) for name in node.output}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.consumers = {}
        for index, node in enumerate(self.nodes):
            for name in node.input:
                self.consumers.setdefault(name, []).append(index)
        self.outputs = {entry.name for entry in graph.output}
        self.shapes = {
            entry.name: tuple(side.dim_value for side in entry.type.tensor_type.shape.dim)
            for entry in (*graph.value_info, *graph.input, *graph.output)
        }
        self.shapes |= {name: array.shape for name, array in self.constants.items()}

    # Tensors

    def _quantization(self, node: onnx.NodeProto) -> Quantization:
        """Of a QuantizeLinear or DequantizeLinear node of one uint8 scheme per tensor."""
        scale = self.constants.get(node.input[1])
        zero_point = self.constants.get(node.input[2]) if len(node.input) > 2 else np.uint8(0)
        if scale is None or zero_point is None or scale.size != 1 or zero_point.dtype != np.uint8:
            raise NotIntegerError("its scheme is not one constant scale and uint8 zero point")
        value = float(scale.reshape(()))
        if not (np.isfinite(value) and value > 0):
            raise NotIntegerError(f"its scale is {value}")
        return Quantization(scale=value, zero_point=int(zero_point.reshape(())))

    def _image(self, name: str) -> ActivationShape:
        shape = self.shapes.get(name, ())
        match shape:
            case (1, channels, height, width):
                return ActivationShape(height=height, width=width, channels=channels)
            case (rows, channels):
                return ActivationShape(height=1, width=rows, channels=channels)
            case _:
                raise NotIntegerError(
                    f"its shape is {shape}; (1, channels, height, width) or (rows, channels) is needed"
                )

    def result(self, node: onnx.NodeProto) -> QuantizedTensor:
        """What a QuantizeLinear node writes.

        Raises:
            NotIntegerError: if its shape or scheme has no integer form here.
        """
        return QuantizedTensor(
            name=node.output[0], shape=self._image(node.input[0]), quantization=self._quantization(node)
        )

    def _producer(self, name: str) -> onnx.NodeProto:
        if name not in self.producers:
            raise NotIntegerError("it is an input of the network")
        node: onnx.NodeProto = self.nodes[self.producers[name]]
        return node

    def source_of(self, name: str) -> QuantizedTensor:
        """The quantized tensor behind a dequantized one, which may have been reshaped.

        Raises:
            NotIntegerError: if it is not quantized.
        """
        node = self._producer(name)
        if node.op_type in _RESHAPES:
            return replace(self.source_of(node.input[0]), shape=self._reshaped(node))
        if node.op_type != "DequantizeLinear" or node.input[0] in self.constants:
            raise NotIntegerError(f"{node.op_type} before it is not quantized")
        quantization = self._quantization(node)
        return QuantizedTensor(name=node.input[0], shape=self._image(name), quantization=quantization)

    def _reshaped(self, node: onnx.NodeProto) -> ActivationShape:
        before, after = self._image(node.input[0]), self._image(node.output[0])
        same = before == after and len(self.shapes[node.input[0]]) == len(self.shapes[node.output[0]])
        if not same and (before.pixels > 1 or after.pixels > 1):
            raise NotIntegerError(f"{node.op_type} changes the order of values in memory")
        return after

    def _weights(self, name: str) -> _Weights:
        node = self._producer(name)
        values = self.constants.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        bits = None if values is None else _WEIGHT_BITS.get(values.dtype.name)
        if values is None or bits is None:
            raise NotIntegerError("its weights are not constant int8 or int4")
        scales = self.constants[node.input[1]].astype(np.float32)
        if len(node.input) > 2 and np.any(self.constants[node.input[2]].astype(np.int8)):
            raise NotIntegerError("its weights have a zero point other than 0")
        axis = int(_attributes(node).get("axis", 1)) if scales.ndim else 0
        return _Weights(values=values.astype(np.int8), bits=bits, scales=np.atleast_1d(scales), axis=axis)

    # Operators

    def operator(self, quantize: onnx.NodeProto, result: QuantizedTensor) -> IntegerOperator:
        """The operator that ends in a QuantizeLinear node.

        Raises:
            NotIntegerError: if it has no integer form here.
        """
        node, clip = self._clipped(quantize, result.quantization)
        match node.op_type:
            case "Conv":
                return self._convolution(node, clip, result)
            case "Gemm":
                return self._linear(node, clip, result)
            case "HardSwish" | "HardSigmoid" if self._follows_products(node):
                return self._activated_products(node, clip, result)
            case "HardSwish" | "HardSigmoid" | "Gelu" if (clip.low, clip.high) == (0, 255):
                source = self.source_of(node.input[0])
                return ActivationOperator(
                    source=source, function=_activation(node, source, result), output=result, clip=clip
                )
            case "ReduceMean" | "GlobalAveragePool":
                return self._mean(node, clip, result)
            case "MaxPool" | "AveragePool":
                return self._pool(node, clip, result)
            case "Add":
                first, second = (self.source_of(name) for name in node.input)
                if first.shape != second.shape:
                    raise NotIntegerError(f"it adds {first.shape} and {second.shape}")
                _require_room(255 * (first.quantization.scale + second.quantization.scale), result)
                return AddOperator(sources=(first, second), clip=clip, output=result)
            case "Mul":
                return self._gate(node, clip, result)
            case _:
                raise NotIntegerError(f"{node.op_type} has no integer kernel")

    def _clipped(self, quantize: onnx.NodeProto, scheme: Quantization) -> tuple[onnx.NodeProto, Clip]:
        """The node whose values a QuantizeLinear node rounds, and the clip that functions between them amount to."""
        low, high, name = 0, 255, quantize.input[0]
        while True:
            if len(self.consumers[name]) > 1 or name in self.outputs:
                raise NotIntegerError("its float result is used elsewhere, too")
            node = self._producer(name)
            if node.op_type == "Relu":
                low = max(low, scheme.zero_point)
            elif node.op_type == "Clip":
                low, high = self._clip_limits(node, scheme, low, high)
            elif node.op_type in _RESHAPES:
                self._reshaped(node)
            else:
                return node, Clip(zero_point=scheme.zero_point, low=low, high=high)
            name = node.input[0]

    def _is_dequantized(self, name: str) -> bool:
        """Whether a float tensor is a dequantized one, perhaps activated or reshaped."""
        while name in self.producers:
            node = self.nodes[self.producers[name]]
            if node.op_type not in {*_RESHAPES, *_FOLLOWING}:
                return bool(node.op_type == "DequantizeLinear")
            name = node.input[0]
        return False

    def _clip_limits(self, node: onnx.NodeProto, scheme: Quantization, low: int, high: int) -> tuple[int, int]:
        limits = [self.constants.get(name) if name else None for name in (*node.input[1:], "", "")][:2]
        steps = [None if limit is None else round(float(limit.reshape(())) / scheme.scale) for limit in limits]
        if steps[0] is not None:
            low = max(low, min(steps[0] + scheme.zero_point, 255))
        if steps[1] is not None:
            high = min(high, max(steps[1] + scheme.zero_point, 0))
        return low, high

    def _follows_products(self, node: onnx.NodeProto) -> bool:
        """Whether an activation takes a convolution's or linear layer's float result, not rounded between."""
        name = node.input[0]
        return (
            name in self.producers
            and self._producer(name).op_type in {"Conv", "Gemm"}
            and len(self.consumers[name]) == 1
            and name not in self.outputs
        )

    def _activated_products(self, node: onnx.NodeProto, clip: Clip, result: QuantizedTensor) -> ConvolutionOperator:
        unrounded = QuantizedTensor(
            name=f"{result.name}:unrounded", shape=result.shape, quantization=Quantization(scale=1.0, zero_point=0)
        )
        products = self._producer(node.input[0])
        read = self._convolution if products.op_type == "Conv" else self._linear
        activation = ActivationOperator(
            source=unrounded, function=_activation(node, unrounded, result), output=result, clip=clip
        )
        found = replace(read(products, Clip(zero_point=0), unrounded), rounded=False, activation=activation)
        _require_room(found.largest if node.op_type == "HardSwish" else 1.0, result)
        return found

    def _convolution(self, node: onnx.NodeProto, clip: Clip, result: QuantizedTensor) -> ConvolutionOperator:
        source = self.source_of(node.input[0])
        weights = self._weights(node.input[1])
        values, outputs = weights.values, len(weights.values)
        attributes = _attributes(node)
        groups = attributes.get("group", 1)
        if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or any(d != 1 for d in attributes.get("dilations", ())):
            raise NotIntegerError("it is dilated or padded by a rule")
        if values.ndim != 4 or weights.axis != 0:
            raise NotIntegerError("its weights are not (outputs, inputs, height, width) with scales per output")
        pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
        return self._checked(ConvolutionOperator(
            source=source, weights=values, weight_bits=weights.bits,
            weight_scales=_per_channel(weights.scales, outputs),
            biases=self._biases(node, source, weights.scales, outputs),
            stride=tuple(attributes.get("strides", (1, 1))), pads=(pads[0], pads[1], pads[2], pads[3]),
            groups=groups, clip=clip, result=result,
        ))  # fmt: skip

    def _linear(self, node: onnx.NodeProto, clip: Clip, result: QuantizedTensor) -> ConvolutionOperator:
        source = self.source_of(node.input[0])
        weights = self._weights(node.input[1])
        values, axis = weights.values, weights.axis
        attributes = _attributes(node)
        if attributes.get("transA", 0) or any(attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta")):
            raise NotIntegerError("it scales or transposes its input")
        if not attributes.get("transB", 0):
            values, axis = values.T, 1 - axis if weights.scales.size > 1 else 0
        if axis != 0 or len(self.shapes[node.input[0]]) != _MATRIX_RANK:
            raise NotIntegerError(
                "its weights are not (outputs, inputs) with scales per output, or its input no matrix"
            )
        return self._checked(ConvolutionOperator(
            source=source, weights=np.ascontiguousarray(values)[:, :, None, None], weight_bits=weights.bits,
            weight_scales=_per_channel(weights.scales, len(values)),
            biases=self._biases(node, source, weights.scales, len(values)), clip=clip, result=result,
        ))  # fmt: skip

    def _biases(
        self, node: onnx.NodeProto, source: QuantizedTensor, scales: NDArray[np.float32], count: int
    ) -> NDArray[np.int32]:
        if len(node.input) < 3 or not node.input[2]:
            return np.zeros(count, np.int32)
        name = node.input[2]
        unit = np.float64(source.quantization.scale) * _per_channel(scales, count).astype(np.float64)
        if name in self.constants:
            values = self.constants[name].astype(np.float64)
        else:
            integers, own, _ = self._integer_constant(name)
            values = integers.astype(np.float64) * own.astype(np.float64)
        steps = np.rint(values / unit)
        if not np.isfinite(steps).all() or np.abs(steps).max(initial=0.0) > _INT32_LIMIT:
            raise NotIntegerError("its bias does not fit in int32")
        return steps.astype(np.int32)

    def _integer_constant(self, name: str) -> tuple[NDArray[Any], NDArray[np.float32], int]:
        node = self._producer(name)
        if node.op_type != "DequantizeLinear" or node.input[0] not in self.constants:
            raise NotIntegerError("its bias is not constant")
        return self.constants[node.input[0]], self.constants[node.input[1]].astype(np.float32), 0

    @staticmethod
    def _checked(operator: ConvolutionOperator) -> ConvolutionOperator:
        """The operator, if no input can make its sums or scaled sums overflow; with 8 bits if 4 could.

        Sums of 4-bit weights are larger by what kernels multiply them by, as scales are smaller.
        """
        sums = operator.largest_sums
        if not max(sums.max(), operator.largest) <= MOST_STEPS:
            raise NotIntegerError("its sums may not fit in int32")
        if operator.weight_bits == 4 and sums.max() * FOUR_BITS_FACTOR > MOST_STEPS:
            return replace(operator, weight_bits=8)
        return operator

    def _mean(self, node: onnx.NodeProto, clip: Clip, result: QuantizedTensor) -> MeanOperator:
        if node.op_type == "ReduceMean":
            axes = self.constants.get(node.input[1]) if len(node.input) > 1 else _attributes(node).get("axes")
            if axes is None or sorted(int(axis) % 4 for axis in axes) != [2, 3]:
                raise NotIntegerError("its mean is not over height and width")
        before = self._producer(node.input[0])
        if before.op_type in {"HardSwish", "HardSigmoid"}:
            if len(self.consumers[node.input[0]]) > 1:
                raise NotIntegerError("its float input is used elsewhere, too")
            source = self.source_of(before.input[0])
            _require_room(255 * source.quantization.scale if before.op_type == "HardSwish" else 1.0, result)
            return MeanOperator(source=source, function=_activation(before, source, result), clip=clip, output=result)
        source = self.source_of(node.input[0])
        _require_room(255 * source.quantization.scale, result)
        return MeanOperator(source=source, function=None, clip=clip, output=result)

    def _pool(self, node: onnx.NodeProto, clip: Clip, result: QuantizedTensor) -> PoolOperator:
        attributes, average = _attributes(node), node.op_type == "AveragePool"
        kernel, stride = (tuple(attributes.get(name, (1, 1))) for name in ("kernel_shape", "strides"))
        pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
        if attributes.get("auto_pad", b"NOTSET") != b"NOTSET" or any(d != 1 for d in attributes.get("dilations", ())):
            raise NotIntegerError("it is dilated or padded by a rule")
        pool = PoolOperator(
            source=self.source_of(node.input[0]), kind="average" if average else "maximum",
            kernel=(kernel[0], kernel[1]), stride=(stride[0], stride[1]),
            pads=(pads[0], pads[1], pads[2], pads[3]), clip=clip, output=result,
        )  # fmt: skip
        if average:
            _require_room(255 * pool.source.quantization.scale, result)
        if pool.windows.out_size != (result.shape.height, result.shape.width) or (average and any(pads)):
            raise NotIntegerError("some of its windows reach over the edge")
        if not average and (pool.source.quantization != result.quantization or (clip.low, clip.high) != (0, 255)):
            raise NotIntegerError("its output has another scheme than its input")
        return pool

    def _gate(self, node: onnx.NodeProto, clip: Clip, result: QuantizedTensor) -> GateOperator:
        tensors = sorted((self.source_of(name) for name in node.input), key=lambda tensor: -tensor.shape.pixels)
        if tensors[1].shape.pixels != 1 or tensors[0].shape.channels != tensors[1].shape.channels:
            raise NotIntegerError("it does not multiply channels by one factor each")
        _require_room(255 * tensors[0].quantization.scale * 255 * tensors[1].quantization.scale, result)
        return GateOperator(source=tensors[0], gate=tensors[1], clip=clip, output=result)

    def reads_only_quantized(self, name: str) -> bool:
        """Whether the operator that ends in a float tensor reads quantized tensors, and so was meant to be integer."""
        node = self.nodes[self.producers[name]] if name in self.producers else None
        while node is not None and node.op_type in {*_RESHAPES, *_FOLLOWING}:
            node = self.nodes[self.producers[node.input[0]]] if node.input[0] in self.producers else None
        inputs = [entry for entry in node.input if entry and entry not in self.constants] if node is not None else []
        return bool(inputs) and all(self._is_dequantized(entry) for entry in inputs)

    def name_of(self, name: str) -> str:
        """The name of the node that writes a tensor, or its kind if it has none."""
        node = self._producer(name)
        return node.name or node.op_type


def _require_room(largest: float, result: QuantizedTensor) -> None:
    """Refuses results of up to ``largest`` if they may not fit in int32 before they are clipped.

    Such a result would not saturate; it would wrap.
    """
    if not largest / result.quantization.scale <= MOST_STEPS:
        raise NotIntegerError("its results may not fit in int32")


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}


def _per_channel(scales: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    return np.broadcast_to(scales, (count,)).astype(np.float32)


def _activation(node: onnx.NodeProto, source: QuantizedTensor, result: QuantizedTensor) -> Activation:
    attributes = _attributes(node)
    if node.op_type == "Gelu":
        if attributes.get("approximate", b"none") != b"none":
            raise NotIntegerError("its GELU is an approximation")
        return Activation(kind="gelu", before=source.quantization, after=result.quantization)
    swish = node.op_type == "HardSwish"
    return Activation(
        kind="hard_swish" if swish else "hard_sigmoid",
        alpha=1 / 6 if swish else attributes.get("alpha", 0.2),
        beta=0.5 if swish else attributes.get("beta", 0.5),
        before=source.quantization,
        after=result.quantization,
    )
