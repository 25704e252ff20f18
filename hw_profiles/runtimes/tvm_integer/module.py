"""A quantized network as a Relax module: integer kernels called one after the other, float segments between."""

import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from hw_profiles.errors import CompileWarning
from hw_profiles.runtimes.tvm_integer import elementwise
from hw_profiles.runtimes.tvm_integer.convolution import (
    ChannelConstants,
    ConvolutionKernel,
    ConvolutionShape,
    pack_constants,
)
from hw_profiles.runtimes.tvm_integer.depthwise import DepthwiseKernel, DepthwiseShape, pack_depthwise_constants
from hw_profiles.runtimes.tvm_integer.graph import FloatSegment, IntegerGraph, read_graph
from hw_profiles.runtimes.tvm_integer.grouping import merge_groups
from hw_profiles.runtimes.tvm_integer.instructions import Instructions
from hw_profiles.runtimes.tvm_integer.operators import (
    ActivationOperator,
    AddOperator,
    ConvolutionOperator,
    DequantizeOperator,
    GateOperator,
    IntegerOperator,
    MeanOperator,
    PoolOperator,
    QuantizedTensor,
    QuantizeOperator,
)
from hw_profiles.runtimes.tvm_integer.pooling import emit_average_pool, emit_max_pool
from hw_profiles.runtimes.tvm_integer.program import Program, Tensor
from hw_profiles.runtimes.tvm_integer.requantization import Epilogue, Residual
from hw_profiles.runtimes.tvm_integer.schemes import Clip
from hw_profiles.runtimes.tvm_integer.shapes import ActivationShape, padded

_FEW_CHANNELS: Final = 4
_IMAGE_RANK: Final = 4
_MOST_KERNELS: Final = 12
"""Per function: a call less costs less than a microsecond, while the compiler's time grows faster than its code."""


def integer_module(model: onnx.ModelProto, instructions: Instructions, *, threads: int = 1) -> Any | None:  # noqa: ANN401
    """The network as a module in which quantized operators compute in integers.

    Operators that cannot are float; a ``CompileWarning`` names each with its reason.

    Args:
        model: a QDQ graph with static shapes for one image.
        instructions: of the processor that it is compiled for.
        threads: above 1, kernels spread their outermost loops.

    Returns:
        The module, to be compiled as an imported one; None where no operator is integer.
    """
    graph = read_graph(model, instructions)
    if not graph.operators:
        _warn("no operator of the quantized network can be computed in integers; all of it is float", graph.reasons)
        return None
    if graph.reasons:
        _warn(f"quantized operators that are computed in float ({len(graph.reasons)})", graph.reasons)
    return _Builder(graph, instructions, parallel=threads > 1).module()


def _warn(what: str, reasons: Sequence[str]) -> None:
    warnings.warn(": ".join([what, "; ".join(reasons)] if reasons else [what]) + ".", CompileWarning, stacklevel=3)


class _Builder:
    def __init__(self, graph: IntegerGraph, instructions: Instructions, *, parallel: bool) -> None:
        self._graph = graph
        self._instructions = instructions
        self._parallel = parallel
        self._block = relax.BlockBuilder()
        self._floats: dict[str, Any] = {}
        """Float tensors, as the graph has them: channels first."""
        self._values: dict[str, Any] = {}
        """What programs read and write: uint8 tensors flat, channels last and padded; float ones channels last."""
        self._dequantized: dict[str, DequantizeOperator] = {}
        """Float results of the current program."""
        self._program = Program(parallel=parallel)
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
            self._finish_run(len(self._graph.steps))
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
            if not isinstance(step, QuantizeOperator) or step.output.shape.channels > _FEW_CHANNELS:
                continue
            reading = readers.get(step.output.name, [])
            only = reading[0] if len(reading) == 1 else None
            dequantized = any(
                isinstance(other, DequantizeOperator) and other.source.name == step.output.name
                for other in self._graph.steps
            )
            # Rows of a matrix have their channels last already.
            image = len(self._sides(step.float_name)) == _IMAGE_RANK
            if image and isinstance(only, ConvolutionOperator) and not only.depthwise and not dequantized:
                self._padded_inputs[step.output.name] = only.pads

    def _emit(self, step: Any, number: int) -> None:  # noqa: ANN401 - one of several classes
        match step:
            case FloatSegment():
                self._finish_run(number)
                self._emit_float(step, number)
            case QuantizeOperator():
                self._quantize(step)
            case DequantizeOperator():
                self._dequantize(step)
            case _:
                self._operator(step)
        if len(self._program.calls) >= _MOST_KERNELS:
            self._finish_run(number + 1)

    # Runs of integer kernels

    def _finish_run(self, number: int) -> None:
        """Calls what was collected since the last float segment, whose results the steps from ``number`` on need."""
        program = self._program
        if not program.calls:
            return
        later = {
            source.name
            for step in self._graph.steps[number:]
            if not isinstance(step, FloatSegment | QuantizeOperator)
            for source in ((step.source,) if isinstance(step, DequantizeOperator) else step.sources)
        }
        outputs = [name for name in program.written if name in later or name in self._dequantized]
        function, constants = program.function(outputs)
        called = self._block.add_func(function, "integer")
        arguments = [self._values[entry.name] for entry in program.inputs]
        types = [relax.TensorType(list(program.written[name].shape), program.written[name].dtype) for name in outputs]
        results = self._block.emit(relax.call_tir(called, [*arguments, *map(relax.const, constants)], types))
        for at, name in enumerate(outputs):
            value = results if len(outputs) == 1 else self._block.emit(relax.TupleGetItem(results, at))
            self._values[name] = value
            if name in self._dequantized:
                step = self._dequantized.pop(name)
                self._floats[step.float_name] = self._channels_first(value, step)
        self._program = Program(parallel=self._parallel)

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
            [_importable(tensor) for tensor in graph.initializer if tensor.name in read],
        )  # fmt: skip
        model = onnx.helper.make_model(part, opset_imports=list(self._graph.model.opset_import))
        model.ir_version = self._graph.model.ir_version
        with warnings.catch_warnings():
            # Its inputs are tensors inside the network, whose dots TVM replaces and warns of.
            warnings.filterwarnings("ignore", message="Renaming name", category=UserWarning)
            function = from_onnx(model, keep_params_in_input=False)["main"].without_attr("global_symbol")
        called = self._block.add_func(function, f"segment{number}")
        result = self._block.emit(relax.Call(called, [self._floats[name] for name in inputs]))
        if len(outputs) == 1 and not isinstance(function.ret_ty, relax.TupleType):
            self._floats[outputs[0]] = result
            return
        for index, name in enumerate(outputs):
            self._floats[name] = self._block.emit(relax.TupleGetItem(result, index))

    def _quantize(self, step: QuantizeOperator) -> None:
        tensor, source, instructions = step.output, self._floats[step.float_name], self._instructions
        shape = tensor.shape
        pads = self._padded_inputs.get(tensor.name)
        image = len(source.ty.shape) == _IMAGE_RANK
        first = pads is not None or (image and shape.pixels > 1 and shape.channels <= _FEW_CHANNELS)
        if image and not first:
            source = self._channels_last(source, shape)
        value = Tensor(
            name=f"{step.float_name}:float", dtype="float32", shape=tuple(int(side) for side in source.ty.shape)
        )
        self._values[value.name] = source
        if pads is not None:
            size = (shape.height + pads[0] + pads[2]) * (shape.width + pads[1] + pads[3]) * _FEW_CHANNELS
            self._program.add(
                lambda emitter: elementwise.emit_quantize_padded(emitter, shape, pads, tensor.quantization),
                value, Tensor(name=tensor.name, shape=(size,)),
            )  # fmt: skip
            return
        self._program.add(
            lambda emitter: elementwise.emit_quantize(
                emitter, shape, tensor.quantization, instructions, channels_first=first
            ),
            value, _held(tensor),
        )  # fmt: skip

    def _channels_last(self, source: Any, shape: ActivationShape) -> Any:  # noqa: ANN401 - TVM has no type annotations
        if shape.pixels == 1:
            return self._block.emit(relax.op.reshape(source, [1, shape.channels]))
        return self._block.emit(relax.op.permute_dims(source, [0, 2, 3, 1]))

    def _dequantize(self, step: DequantizeOperator) -> None:
        shape, instructions = step.source.shape, self._instructions
        sizes = (1, shape.channels) if shape.pixels == 1 else (1, shape.height, shape.width, shape.channels)
        result = Tensor(name=f"{step.float_name}:float", dtype="float32", shape=sizes)
        self._dequantized[result.name] = step
        self._program.add(
            lambda emitter: elementwise.emit_dequantize(emitter, shape, step.source.quantization, instructions),
            _held(step.source), result,
        )  # fmt: skip

    def _channels_first(self, value: Any, step: DequantizeOperator) -> Any:  # noqa: ANN401
        sides = self._sides(step.float_name)
        if step.source.shape.pixels > 1 and len(sides) == _IMAGE_RANK:
            return self._block.emit(relax.op.permute_dims(value, [0, 3, 1, 2]))
        return value if len(sides) == len(value.ty.shape) else self._block.emit(relax.op.reshape(value, sides))

    def _sides(self, name: str) -> list[int]:
        """The shape of a float tensor of the graph."""
        graph = self._graph.model.graph
        entry = next(entry for entry in (*graph.value_info, *graph.input, *graph.output) if entry.name == name)
        return [side.dim_value for side in entry.type.tensor_type.shape.dim]

    # Integer operators

    def _operator(self, step: IntegerOperator) -> None:
        instructions, output = self._instructions, step.output
        match step:
            case ConvolutionOperator():
                self._convolution(step)
            case ActivationOperator():
                shape = step.source.shape
                self._program.add(
                    lambda emitter: elementwise.emit_table(emitter, shape),
                    _held(step.source), step.function.table(), _held(output),
                )  # fmt: skip
            case MeanOperator():
                activation = step.function
                if activation is not None:
                    activation = elementwise.summed_activation(activation, step.source.shape.pixels)
                self._program.add(
                    lambda emitter: elementwise.emit_mean(
                        emitter, step.source.shape, step.source.quantization, (output.quantization, step.clip),
                        instructions, activation,
                    ),
                    _held(step.source), _held(output),
                )  # fmt: skip
            case PoolOperator():
                self._pool(step)
            case AddOperator():
                first, second = step.sources
                self._program.add(
                    lambda emitter: elementwise.emit_add(
                        emitter, first.shape, _whole_range(first), _residual(first, second, step), step.clip,
                        instructions,
                    ),
                    _held(first), _held(second), _held(output),
                )  # fmt: skip
            case GateOperator():
                self._program.add(
                    lambda emitter: elementwise.emit_gate(
                        emitter, step.source.shape, step.source.quantization, step.gate.quantization,
                        (output.quantization, step.clip), instructions,
                    ),
                    _held(step.source), _held(step.gate), _held(output),
                )  # fmt: skip

    def _pool(self, step: PoolOperator) -> None:
        instructions, source, output, windows = self._instructions, _held(step.source), step.output, step.windows
        shape = step.source.shape
        if step.kind == "average":
            self._program.add(
                lambda emitter: emit_average_pool(
                    emitter, windows, step.source.quantization, (output.quantization, step.clip), instructions
                ),
                source, _held(output),
            )  # fmt: skip
            return
        if any(step.pads):
            # No byte is below 0, so that padding never is the maximum.
            copy = Tensor(name=f"{output.name}:padded", shape=(windows.image.held,))
            self._program.add(lambda emitter: elementwise.emit_pad(emitter, shape, step.pads, 0), source, copy)
            source = copy
        self._program.add(lambda emitter: emit_max_pool(emitter, windows, instructions), source, _held(output))

    def _convolution(self, step: ConvolutionOperator) -> None:
        source, zero_point = _held(step.source), step.source.quantization.zero_point
        unit = np.float32(step.source.quantization.scale) * step.weight_scales
        scales = (unit / np.float32(step.result.quantization.scale)).astype(np.float32)
        if step.depthwise:
            shape = DepthwiseShape(
                height=step.source.shape.height, width=step.source.shape.width, channels=step.source.shape.channels,
                kernel=(step.weights.shape[2], step.weights.shape[3]), stride=step.stride, pads=step.pads,
            )  # fmt: skip
            constants = pack_depthwise_constants(
                step.weights, step.biases, scales, zero_point, shape, self._instructions
            )
            depthwise = DepthwiseKernel(shape, zero_point, _epilogue(step), self._instructions)
            self._program.add(depthwise.emit, source, *constants.arrays, _held(step.output))
            return
        shape_in, few = step.source.shape, step.source.name in self._padded_inputs
        height, width = shape_in.height + step.pads[0] + step.pads[2], shape_in.width + step.pads[1] + step.pads[3]
        if few:
            source = Tensor(name=source.name, shape=(height * width * _FEW_CHANNELS,))
        elif any(step.pads):
            copy = Tensor(name=f"{step.result.name}:padded", shape=(height * width * padded(shape_in.channels),))
            self._program.add(
                lambda emitter: elementwise.emit_pad(emitter, shape_in, step.pads, zero_point), source, copy
            )
            source = copy
        weights, groups = merge_groups(step.weights, step.groups)
        dense = ConvolutionShape(
            height=height, width=width, in_stride=_FEW_CHANNELS if few else padded(shape_in.channels),
            in_channels=weights.shape[1], out_channels=len(weights) // groups,
            kernel=(weights.shape[2], weights.shape[3]), stride=step.stride, groups=groups,
        )  # fmt: skip
        of_groups = zip(*(np.split(array, groups) for array in (weights, step.biases, scales)), strict=True)
        constants = ChannelConstants.joined([
            pack_constants(values, biases, factors, zero_point, self._instructions, step.weight_bits)
            for values, biases, factors in of_groups
        ])  # fmt: skip
        others = () if step.residual is None else (_held(step.other),)
        kernel = ConvolutionKernel(dense, _epilogue(step), self._instructions, step.weight_bits)
        self._program.add(kernel.emit, source, *constants.arrays, *others, _held(step.output))


def _importable(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """The same values in a dtype that TVM imports."""
    if tensor.data_type != onnx.TensorProto.INT4:
        return tensor
    return onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.int8), tensor.name)


def _held(tensor: QuantizedTensor) -> Tensor:
    return Tensor(name=tensor.name, shape=(tensor.shape.held,))


def _epilogue(step: ConvolutionOperator) -> Epilogue:
    activation, residual = step.activation, step.residual
    before = step.result if activation is None else activation.output
    return Epilogue(
        first=step.clip,
        rounds_first=step.rounded,
        activation=None if activation is None else activation.function,
        after_activation=None if activation is None else activation.clip,
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
