"""A quantized network as a Relax module: integer kernels called one after the other, float segments between."""

import logging
from typing import Any, Final

import numpy as np
import onnx
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from hw_profiles.runtimes.tvm_integer import elementwise
from hw_profiles.runtimes.tvm_integer.convolution import (
    ChannelConstants,
    ConvolutionKernel,
    ConvolutionShape,
    pack_constants,
)
from hw_profiles.runtimes.tvm_integer.depthwise import DepthwiseKernel, DepthwiseShape, pack_depthwise_constants
from hw_profiles.runtimes.tvm_integer.elementwise import ImageShape
from hw_profiles.runtimes.tvm_integer.emission import padded
from hw_profiles.runtimes.tvm_integer.graph import FloatSegment, IntegerGraph, read_graph
from hw_profiles.runtimes.tvm_integer.instructions import Instructions
from hw_profiles.runtimes.tvm_integer.operators import (
    ActivationOperator,
    AddOperator,
    ConvolutionOperator,
    DequantizeOperator,
    GateOperator,
    IntegerOperator,
    MeanOperator,
    QuantizedTensor,
    QuantizeOperator,
)
from hw_profiles.runtimes.tvm_integer.requantization import Clip, Epilogue, Residual

_LOG: Final = logging.getLogger(__name__)
_FEW_CHANNELS: Final = 4


def integer_module(model: onnx.ModelProto, instructions: Instructions, *, threads: int = 1) -> Any | None:  # noqa: ANN401
    """The network as a module in which quantized operators compute in integers.

    Operators that cannot are float, each named with its reason in a warning.

    Args:
        model: a QDQ graph with static shapes for one image.
        instructions: of the processor that it is compiled for.
        threads: above 1, kernels spread their outermost loops.

    Returns:
        The module, to be compiled as an imported one; None where no operator is integer.
    """
    graph = read_graph(model, instructions)
    for reason in graph.reasons:
        _LOG.warning("computed in float, not in integers: %s", reason)
    if not graph.operators:
        _LOG.warning("no operator of the quantized network can be computed in integers; all of it is float")
        return None
    return _Builder(graph, instructions, parallel=threads > 1).module()


class _Builder:
    def __init__(self, graph: IntegerGraph, instructions: Instructions, *, parallel: bool) -> None:
        self._graph = graph
        self._instructions = instructions
        self._parallel = parallel
        self._block = relax.BlockBuilder()
        self._floats: dict[str, Any] = {}
        """Float tensors, as the graph has them: channels first."""
        self._integers: dict[str, Any] = {}
        """uint8 tensors, flat, channels last and padded."""
        self._padded_inputs: dict[str, tuple[int, int, int, int]] = {}
        """Tensors of few channels that are written inside the padding of the convolution that reads them."""

    def module(self) -> Any:  # noqa: ANN401 - TVM has no type annotations
        graph = self._graph.model.graph
        constants = {tensor.name for tensor in graph.initializer}
        parameters = {}
        for entry in graph.input:
            if entry.name not in constants:
                shape = [side.dim_value for side in entry.type.tensor_type.shape.dim]
                parameters[entry.name] = relax.Var(entry.name, relax.TensorType(shape, "float32"))
        self._floats |= parameters
        self._find_padded_inputs()
        with self._block.function("main", list(parameters.values())):
            # No dataflow block: TVM's passes over such blocks look into kernels, and know only scheduled ones.
            for number, step in enumerate(self._graph.steps):
                self._emit(step, number)
            outputs = [self._floats[entry.name] for entry in graph.output]
            self._block.emit_func_output(outputs[0] if len(outputs) == 1 else relax.Tuple(outputs))
        return relax.transform.InlinePrivateFunctions()(self._block.get())

    def _find_padded_inputs(self) -> None:
        readers: dict[str, list[IntegerOperator]] = {}
        for step in self._graph.steps:
            if isinstance(step, IntegerOperator):
                for tensor in step.sources:
                    readers.setdefault(tensor.name, []).append(step)
        for step in self._graph.steps:
            if isinstance(step, QuantizeOperator) and step.output.shape.channels <= _FEW_CHANNELS:
                reading = readers.get(step.output.name, [])
                only = reading[0] if len(reading) == 1 else None
                dequantized = any(
                    isinstance(other, DequantizeOperator) and other.source.name == step.output.name
                    for other in self._graph.steps
                )
                if isinstance(only, ConvolutionOperator) and not only.depthwise and not dequantized:
                    self._padded_inputs[step.output.name] = only.pads

    def _emit(self, step: Any, number: int) -> None:  # noqa: ANN401 - one of several classes
        match step:
            case FloatSegment():
                self._emit_float(step, number)
            case QuantizeOperator():
                self._integers[step.output.name] = self._quantized(step)
            case DequantizeOperator():
                self._floats[step.float_name] = self._dequantized(step)
            case _:
                self._integers[step.output.name] = self._operator(step)

    # Float segments and conversions

    def _emit_float(self, segment: FloatSegment, number: int) -> None:
        graph = self._graph.model.graph
        made = {name for node in segment.nodes for name in node.output}
        read = {name for node in segment.nodes for name in node.input if name}
        types = {entry.name: entry for entry in (*graph.value_info, *graph.input, *graph.output)}
        inputs = sorted(name for name in read - made if name in self._floats)
        later = {entry.name for entry in graph.output}
        for step in self._graph.steps:
            if isinstance(step, QuantizeOperator):
                later.add(step.float_name)
            elif isinstance(step, FloatSegment) and step is not segment:
                later |= {name for node in step.nodes for name in node.input}
        outputs = sorted(made & later)
        part = onnx.helper.make_graph(
            list(segment.nodes), f"segment{number}",
            [types[name] for name in inputs], [types[name] for name in outputs],
            [tensor for tensor in graph.initializer if tensor.name in read],
        )  # fmt: skip
        part.node.extend([])
        model = onnx.helper.make_model(part, opset_imports=list(self._graph.model.opset_import))
        model.ir_version = self._graph.model.ir_version
        function = from_onnx(model, keep_params_in_input=False)["main"].without_attr("global_symbol")
        called = self._block.add_func(function, f"segment{number}")
        result = self._block.emit(relax.Call(called, [self._floats[name] for name in inputs]))
        if len(outputs) == 1 and not isinstance(function.ret_ty, relax.TupleType):
            self._floats[outputs[0]] = result
            return
        for index, name in enumerate(outputs):
            self._floats[name] = self._block.emit(relax.TupleGetItem(result, index))

    def _quantized(self, step: QuantizeOperator) -> Any:  # noqa: ANN401 - TVM has no type annotations
        tensor, source = step.output, self._floats[step.float_name]
        shape = tensor.shape
        if tensor.name in self._padded_inputs:
            pads = self._padded_inputs[tensor.name]
            kernel = elementwise.quantize_padded_kernel(shape, pads, tensor.quantization)
            size = (shape.height + pads[0] + pads[2]) * (shape.width + pads[1] + pads[3]) * 4
            return self._call(kernel, [source], [size])
        first = shape.pixels > 1 and shape.channels <= _FEW_CHANNELS
        if len(source.ty.shape) == 4 and not first:
            source = self._channels_last(source, shape)
        kernel = elementwise.quantize_kernel(shape, tensor.quantization, self._instructions, channels_first=first)
        return self._call(kernel, [source], [shape.held])

    def _channels_last(self, source: Any, shape: ImageShape) -> Any:  # noqa: ANN401 - TVM has no type annotations
        if shape.pixels == 1:
            return self._block.emit(relax.op.reshape(source, [1, shape.channels]))
        return self._block.emit(relax.op.permute_dims(source, [0, 2, 3, 1]))

    def _dequantized(self, step: DequantizeOperator) -> Any:  # noqa: ANN401 - TVM has no type annotations
        shape, source = step.source.shape, self._integers[step.source.name]
        kernel = elementwise.dequantize_kernel(shape, step.source.quantization, self._instructions)
        sizes = [1, shape.channels] if shape.pixels == 1 else [1, shape.height, shape.width, shape.channels]
        values = self._call(kernel, [source], sizes, "float32")
        if shape.pixels > 1:
            return self._block.emit(relax.op.permute_dims(values, [0, 3, 1, 2]))
        types = {entry.name: entry for entry in (*self._graph.model.graph.value_info, *self._graph.model.graph.output)}
        sides = [side.dim_value for side in types[step.float_name].type.tensor_type.shape.dim]
        return values if sides == sizes else self._block.emit(relax.op.reshape(values, sides))

    # Integer operators

    def _operator(self, step: IntegerOperator) -> Any:  # noqa: ANN401 - TVM has no type annotations
        instructions = self._instructions
        match step:
            case ConvolutionOperator():
                return self._convolution(step)
            case ActivationOperator():
                table = relax.const(step.function.table())
                kernel = elementwise.table_kernel(step.source.shape)
                return self._call(kernel, [self._integers[step.source.name], table], [step.output.shape.held])
            case MeanOperator():
                activation = step.function
                if activation is not None:
                    activation = elementwise.summed_activation(activation, step.source.shape.pixels)
                kernel = elementwise.mean_kernel(
                    step.source.shape, step.source.quantization, (step.output.quantization, step.clip), instructions,
                    activation,
                )  # fmt: skip
                return self._call(kernel, [self._integers[step.source.name]], [padded(step.source.shape.channels)])
            case AddOperator():
                first, second = step.sources
                kernel = elementwise.add_kernel(
                    first.shape, Clip(zero_point=first.quantization.zero_point), _residual(first, second, step),
                    step.clip, instructions,
                )  # fmt: skip
                return self._call(
                    kernel, [self._integers[first.name], self._integers[second.name]], [step.output.shape.held]
                )
            case GateOperator():
                kernel = elementwise.gate_kernel(
                    step.source.shape, step.source.quantization, step.gate.quantization,
                    (step.output.quantization, step.clip), instructions,
                )  # fmt: skip
                arguments = [self._integers[step.source.name], self._integers[step.gate.name]]
                return self._call(kernel, arguments, [step.output.shape.held])

    def _convolution(self, step: ConvolutionOperator) -> Any:  # noqa: ANN401 - TVM has no type annotations
        source, zero_point = self._integers[step.source.name], step.source.quantization.zero_point
        unit = np.float32(step.source.quantization.scale) * step.weight_scales
        scales = (unit / np.float32(step.result.quantization.scale)).astype(np.float32)
        size = [step.output.shape.held]
        if step.depthwise:
            shape = DepthwiseShape(
                height=step.source.shape.height, width=step.source.shape.width, channels=step.source.shape.channels,
                kernel=(step.weights.shape[2], step.weights.shape[3]), stride=step.stride, pads=step.pads,
            )  # fmt: skip
            constants = pack_depthwise_constants(
                step.weights, step.biases, scales, zero_point, shape, self._instructions
            )
            depthwise = DepthwiseKernel(shape, zero_point, _epilogue(step), self._instructions)
            return self._call(depthwise.function(parallel=self._parallel), [source, *_arguments(constants)], size)
        shape_in, few = step.source.shape, step.source.name in self._padded_inputs
        height, width = shape_in.height + step.pads[0] + step.pads[2], shape_in.width + step.pads[1] + step.pads[3]
        if any(step.pads) and not few:
            kernel = elementwise.pad_kernel(shape_in, step.pads, zero_point)
            source = self._call(kernel, [source], [height * width * padded(shape_in.channels)])
        dense = ConvolutionShape(
            height=height, width=width, in_stride=_FEW_CHANNELS if few else padded(shape_in.channels),
            in_channels=shape_in.channels, out_channels=len(step.weights),
            kernel=(step.weights.shape[2], step.weights.shape[3]), stride=step.stride,
        )  # fmt: skip
        constants = pack_constants(step.weights, step.biases, scales, zero_point, self._instructions)
        arguments = [source, *_arguments(constants)]
        if step.residual is not None:
            arguments.append(self._integers[step.other.name])
        function = ConvolutionKernel(dense, _epilogue(step), self._instructions).function(parallel=self._parallel)
        return self._call(function, arguments, size)

    def _call(self, kernel: Any, arguments: list[Any], sizes: list[int], dtype: str = "uint8") -> Any:  # noqa: ANN401
        called = self._block.add_func(kernel, "integer")
        return self._block.emit(relax.call_tir(called, arguments, relax.TensorType(sizes, dtype)))


def _arguments(constants: ChannelConstants) -> list[Any]:
    return [relax.const(constants.weights), relax.const(constants.biases), relax.const(constants.scales)]


def _epilogue(step: ConvolutionOperator) -> Epilogue:
    activation, residual = step.activation, step.residual
    before = step.result if activation is None else activation.output
    return Epilogue(
        first=step.clip,
        activation=None if activation is None else activation.function,
        after_activation=None if activation is None else _whole_range(activation.output),
        residual=None if residual is None else _residual(before, step.other, residual),
        after_residual=None if residual is None else residual.clip,
    )


def _whole_range(tensor: QuantizedTensor) -> Clip:
    return Clip(zero_point=tensor.quantization.zero_point)


def _residual(first: QuantizedTensor, second: QuantizedTensor, step: AddOperator) -> Residual:
    scale = np.float32(step.output.quantization.scale)
    return Residual(
        ratio=float(np.float32(first.quantization.scale) / scale),
        other_ratio=float(np.float32(second.quantization.scale) / scale),
        other_zero_point=second.quantization.zero_point,
    )
