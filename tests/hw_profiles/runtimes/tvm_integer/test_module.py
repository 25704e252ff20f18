"""Whole quantized networks: integer where they can be, and ONNX Runtime's outputs within one step."""

import dataclasses
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
import tvm
from onnx import TensorProto, helper, numpy_helper
from tvm import relax, tirx

from hw_profiles.errors import CompileWarning
from hw_profiles.onnx_graph import graph_outputs, load_onnx
from hw_profiles.runtimes.tvm_integer.graph import FloatSegment, read_graph
from hw_profiles.runtimes.tvm_integer.instructions import instructions_of
from hw_profiles.runtimes.tvm_integer.module import integer_module
from hw_profiles.runtimes.tvm_integer.operators import (
    ActivationOperator,
    AddOperator,
    ConvolutionOperator,
    GateOperator,
    MeanOperator,
)
from hw_profiles.runtimes.tvm_runtime import TvmExecutable, TvmRuntime, _build
from tests.hw_profiles.runtimes.tvm_integer.kernels import LOCAL, arm_profile, every_arm, run_emulated

LOCAL_INSTRUCTIONS = instructions_of(LOCAL)


class Graph:
    """Builds QDQ graphs of one image, operator by operator."""

    def __init__(self, channels, height, width, *, seed=0):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants, self.steps = [], [], {}
        self.sides = {"image": (channels, height, width)}
        self.names = 0
        self.image = self.quantized("image", (channels, height, width), 0.03, 130)

    def constant(self, array):
        self.names += 1
        name = f"c{self.names}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, kind, inputs, **attributes):
        self.names += 1
        name = f"{kind.lower()}{self.names}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"unit/{name}", **attributes))
        return name

    def quantized(self, name, sides, scale=0.05, zero_point=120):
        """The tensor, rounded to uint8 and back."""
        scheme = [self.constant(np.float32(scale)), self.constant(np.uint8(zero_point))]
        out = self.node("DequantizeLinear", [self.node("QuantizeLinear", [name, *scheme]), *scheme])
        self.sides[out] = sides
        self.steps[out] = scale
        return out

    def weights(self, *shape, bits=8):
        most = (1 << (bits - 1)) - 1
        scales = (self.rng.uniform(0.254, 1.27, shape[0]) / most).astype(np.float32)
        dtype = np.int8 if bits == 8 else ml_dtypes.int4
        values = self.rng.integers(-most, most + 1, shape).astype(dtype)
        inputs = [self.constant(values), self.constant(scales), self.constant(np.zeros(shape[0], dtype))]
        return self.node("DequantizeLinear", inputs, axis=0), scales

    def conv(
        self, source, outputs, kernel=1, stride=1, *, depthwise=False, group=1, bits=8, after=None, quantize=True,
        **attributes
    ):  # fmt: skip
        channels, height, width = self.sides[source]
        group = channels if depthwise else group
        weights, scales = self.weights(outputs, channels // group, kernel, kernel, bits=bits)
        bias = self.rng.integers(-500, 500, outputs).astype(np.int32)
        bias_scales = (scales * np.float32(self.steps[source])).astype(np.float32)
        biases = self.node("DequantizeLinear", [self.constant(bias), self.constant(bias_scales)], axis=0)
        pad = kernel // 2
        settings = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4, "group": group}
        out = self.node("Conv", [source, weights, biases], **(settings | attributes))
        sides = (outputs, -(-height // stride), -(-width // stride))
        if after:
            out = self.node(after, [out])
        self.sides[out] = sides
        return self.quantized(out, sides, 0.04, 0 if after == "Relu" else 115) if quantize else out

    def model(self, output):
        channels, *image = self.sides[output]
        sides = [1, channels, *image]
        graph = helper.make_graph(
            [*self.nodes, helper.make_node("Identity", [output], ["logits"], name="last")], "network",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, *self.sides["image"]])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, sides)], self.constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
        model.ir_version = 10
        return model


def _steps(model, kind=None):
    steps = read_graph(model, LOCAL_INSTRUCTIONS).steps
    return [step for step in steps if kind is None or isinstance(step, kind)]


def _outputs(model, images, folder, module=None):
    module = integer_module(model, LOCAL_INSTRUCTIONS) if module is None else module
    executable = TvmExecutable(relax.VirtualMachine(_build(module, LOCAL), tvm.cpu()))
    path = Path(folder) / "network.onnx"
    onnx.save(model, path)
    session = load_onnx(path)
    return [np.concatenate([one.run(image[None]) for image in images]) for one in (executable, session)]


def _check(graph, output, folder, *, steps=1.0):
    model = graph.model(output)
    images = graph.rng.standard_normal((3, *graph.sides["image"])).astype(np.float32) * 2
    found, expected = _outputs(model, images, folder)
    assert np.abs(found - expected).max() <= graph.steps[output] * (steps + 1e-3)
    return model


@pytest.mark.parametrize("channels", [3, 24])
def test_convolutions_with_a_residual(tmp_path, channels):
    graph = Graph(channels, 10, 9)
    stem = graph.conv(graph.image, 24, 3, 2, after="HardSwish")
    depth = graph.conv(stem, 24, 5, depthwise=True, after="Relu")
    project = graph.conv(depth, 24)
    total = graph.quantized(graph.node("Add", [stem, project]), graph.sides[stem], 0.06, 100)
    graph.sides[total] = graph.sides[stem]
    model = _check(graph, total, tmp_path)
    assert not read_graph(model, LOCAL_INSTRUCTIONS).reasons
    assert not _steps(model, AddOperator)  # fused behind the projection


def _quantized_twice(graph, source, kind, **attributes):
    """An activation between two conversions, as the quantizer leaves it."""
    return graph.quantized(graph.node(kind, [source], **attributes), graph.sides[source], 0.031, 17)


def test_squeeze_excite(tmp_path):
    graph = Graph(3, 12, 12)
    x = _quantized_twice(graph, graph.conv(graph.image, 40, 3), "HardSwish")
    pooled = graph.node("ReduceMean", [x, graph.constant(np.array([2, 3]))], keepdims=0)
    pooled = graph.quantized(pooled, (40,), 0.01, 20)
    weights, _ = graph.weights(16, 40)
    hidden = graph.quantized(graph.node("Relu", [graph.node("Gemm", [pooled, weights], transB=1)]), (16,), 0.02, 0)
    weights, _ = graph.weights(40, 16)
    gate = graph.quantized(graph.node("Gemm", [hidden, weights], transB=1), (40,), 0.03, 128)
    gate = graph.node("HardSigmoid", [gate], alpha=1 / 6, beta=0.5)
    gate = graph.node("Unsqueeze", [gate, graph.constant(np.array([2, 3]))])
    gate = graph.quantized(gate, (40, 1, 1), 0.0039, 0)
    scaled = graph.quantized(graph.node("Mul", [x, gate]), (40, 12, 12), 0.03, 17)
    model = _check(graph, graph.conv(scaled, 24), tmp_path)
    assert len(_steps(model, GateOperator)) == len(_steps(model, MeanOperator)) == 1
    assert not _steps(model, ActivationOperator)  # both fused
    assert not read_graph(model, LOCAL_INSTRUCTIONS).reasons


def test_mean_of_an_activation_and_a_linear_layer(tmp_path):
    graph = Graph(3, 8, 8)
    x = graph.conv(graph.image, 32, 3)
    pooled = graph.node("ReduceMean", [graph.node("HardSwish", [x]), graph.constant(np.array([2, 3]))], keepdims=0)
    pooled = graph.quantized(pooled, (32,), 0.01, 20)
    weights, _ = graph.weights(10, 32)
    logits = graph.quantized(graph.node("Gemm", [pooled, weights], transB=1), (10,), 0.02, 120)
    # One step of the mean may differ, and be a few of the logits.
    model = _check(graph, logits, tmp_path, steps=3)
    assert all(isinstance(step, MeanOperator | ConvolutionOperator) for step in _steps(model)[1:-2])


@pytest.mark.parametrize(
    ("channels", "outputs", "group", "stride", "bits"),
    [(24, 48, 3, 1, 8), (64, 64, 4, 2, 4), (48, 48, 12, 1, 8), (10, 20, 5, 1, 4), (12, 24, 12, 2, 8)],
)
def test_grouped_convolutions(tmp_path, channels, outputs, group, stride, bits):
    """Groups of whole vectors, narrower ones, and twice as many outputs as channels of one input each."""
    graph = Graph(3, 8, 9)
    x = graph.conv(graph.image, channels, 3, after="Relu")
    y = graph.conv(x, outputs, 3, stride, group=group, bits=bits)
    model = _check(graph, y, tmp_path)
    assert not read_graph(model, LOCAL_INSTRUCTIONS).reasons
    assert _steps(model, ConvolutionOperator)[1].groups == group


def test_a_grouped_convolution_adds_a_residual(tmp_path):
    graph = Graph(3, 8, 8)
    x = graph.conv(graph.image, 32, 3)
    grouped = graph.conv(x, 32, 3, group=2)
    total = graph.quantized(graph.node("Add", [x, grouped]), graph.sides[x], 0.06, 100)
    model = _check(graph, total, tmp_path)
    assert not _steps(model, AddOperator)


def test_4_bit_weights(tmp_path):
    graph = Graph(3, 10, 9)
    stem = graph.conv(graph.image, 24, 3, 2, after="HardSwish", bits=4)
    depth = graph.conv(stem, 24, 5, depthwise=True, after="Relu", bits=4)
    project = graph.conv(depth, 24, bits=4)
    total = graph.quantized(graph.node("Add", [stem, project]), graph.sides[stem], 0.06, 100)
    graph.sides[total] = graph.sides[stem]
    pooled = graph.node("ReduceMean", [total, graph.constant(np.array([2, 3]))], keepdims=0)
    pooled = graph.quantized(pooled, (24,), 0.01, 100)
    weights, _ = graph.weights(40, 24, bits=4)
    logits = graph.quantized(graph.node("Gemm", [pooled, weights], transB=1), (40,), 0.02, 120)
    # One step of the mean may differ, and be a few of the logits.
    model = _check(graph, logits, tmp_path, steps=3)
    assert not read_graph(model, LOCAL_INSTRUCTIONS).reasons
    assert {step.weight_bits for step in _steps(model, ConvolutionOperator)} == {4}


def test_4_bit_weights_halve_a_modules_constants():
    def constants(bits):
        graph = Graph(64, 4, 4)
        module = integer_module(graph.model(graph.conv(graph.image, 128, bits=bits)), LOCAL_INSTRUCTIONS)
        found = []
        relax.analysis.post_order_visit(module["main"], found.append)
        return [entry.value.numpy() for entry in found if isinstance(entry, tvm.ir.expr.GenericConst)]

    whole, half = (sum(array.nbytes for array in constants(bits) if array.dtype == np.int8) for bits in (8, 4))
    assert (whole, half) == (64 * 128, 64 * 128 // 2)


def test_4_bit_weights_of_an_operator_without_a_kernel_are_float(tmp_path):
    graph = Graph(16, 8, 8)
    dilated = graph.conv(graph.image, 16, 3, bits=4, dilations=[2, 2], pads=[2] * 4)
    with pytest.warns(CompileWarning, match="dilated"):
        model = _check(graph, graph.conv(dilated, 16), tmp_path, steps=2)
    (reason,) = read_graph(model, LOCAL_INSTRUCTIONS).reasons
    assert "dilated" in reason


def test_4_bit_weights_beside_a_bias_that_leaves_no_room_are_computed_in_8_bits(tmp_path):
    graph = Graph(16, 4, 4)
    out = graph.conv(graph.image, 16, bits=4)
    bias = next(tensor for tensor in graph.constants if tensor.data_type == TensorProto.INT32)
    bias.CopyFrom(numpy_helper.from_array(np.full(16, 1 << 27, np.int32), bias.name))
    scale = next(tensor for tensor in graph.constants if tensor.name == out_scale(graph))
    scale.CopyFrom(numpy_helper.from_array(np.float32(4000.0), scale.name))
    graph.steps[out] = 4000.0
    model = _check(graph, out, tmp_path)
    assert [step.weight_bits for step in _steps(model, ConvolutionOperator)] == [8]


def out_scale(graph):
    return graph.nodes[-1].input[1]


def _tokens(graph, image, *, scale=0.04):
    """An image as quantized tokens, rows of a matrix."""
    channels, height, width = graph.sides[image]
    last = graph.node("Transpose", [image], perm=[0, 2, 3, 1])
    rows = graph.node("Reshape", [last, graph.constant(np.array([height * width, channels]))])
    return graph.quantized(rows, (channels, height, width), scale, 115)


def _linear(graph, tokens, outputs):
    weights, _ = graph.weights(outputs, graph.sides[tokens][0])
    sides = (outputs, *graph.sides[tokens][1:])
    return graph.quantized(graph.node("Gemm", [tokens, weights], transB=1), sides, 0.04, 115)


def _picture(graph, tokens):
    """Tokens as a float image."""
    channels, height, width = graph.sides[tokens]
    rows = graph.node("Reshape", [tokens, graph.constant(np.array([1, height, width, channels]))])
    image = graph.node("Transpose", [rows], perm=[0, 3, 1, 2])
    graph.sides[image], graph.steps[image] = (channels, height, width), graph.steps[tokens]
    return image


def test_linear_layers_over_tokens_and_gelu(tmp_path):
    graph = Graph(3, 4, 5)
    tokens = _tokens(graph, graph.conv(graph.image, 24, 3))
    hidden = _linear(graph, tokens, 40)
    hidden = graph.quantized(graph.node("Gelu", [hidden]), graph.sides[hidden], 0.02, 9)
    # A step of GELU may differ where it is a tie, and be a few of what follows.
    with pytest.warns(CompileWarning, match="Reshape"):
        model = _check(graph, _picture(graph, _linear(graph, hidden, 24)), tmp_path, steps=3)
    (reason,) = read_graph(model, LOCAL_INSTRUCTIONS).reasons
    assert "Reshape" in reason  # from the image to tokens, which copies floats
    assert len(_steps(model, ConvolutionOperator)) == 3
    assert [step.function.kind for step in _steps(model, ActivationOperator)] == ["gelu"]


def test_tokens_of_few_channels(tmp_path):
    graph = Graph(3, 4, 5)
    with pytest.warns(CompileWarning, match="Reshape"):
        model = _check(graph, _picture(graph, _linear(graph, _tokens(graph, graph.image), 24)), tmp_path)
    assert len(_steps(model, ConvolutionOperator)) == 1


def test_a_reshape_from_an_image_to_tokens_is_no_order_of_bytes():
    graph = Graph(16, 1, 6)
    x = graph.conv(graph.image, 16)
    rows = graph.node("Reshape", [x, graph.constant(np.array([6, 16]))])
    tokens = graph.quantized(rows, (16, 1, 6))
    # As (channels, tokens) in memory, the values are not those of (tokens, channels).
    model = graph.model(_picture(graph, tokens))
    assert any("Reshape" in [node.op_type for node in step.nodes] for step in _steps(model, FloatSegment))


def test_float_units_stay_float_between_integer_ones(tmp_path):
    graph = Graph(3, 8, 8)
    x = graph.conv(graph.image, 24, 3)
    weights = graph.constant(graph.rng.standard_normal((24, 24, 3, 3)).astype(np.float32) * 0.1)
    plain = graph.node("Add", [graph.node("Relu", [graph.node("Conv", [x, weights], pads=[1] * 4)]), x])
    y = graph.quantized(plain, (24, 8, 8), 0.08, 90)
    model = _check(graph, graph.conv(y, 16), tmp_path, steps=2)
    assert len(_steps(model, ConvolutionOperator)) == 2
    assert not read_graph(model, LOCAL_INSTRUCTIONS).reasons  # nothing was meant to be integer there


def test_what_has_no_kernel_is_float_with_a_warning(tmp_path):
    graph = Graph(16, 8, 8)
    dilated = graph.conv(graph.image, 16, 3, dilations=[2, 2], pads=[2] * 4)
    plain = graph.conv(dilated, 16, 3)
    with pytest.warns(CompileWarning, match=r"computed in float \(1\): unit/conv\d+: it is dilated"):
        model = _check(graph, plain, tmp_path, steps=2)
    (reason,) = read_graph(model, LOCAL_INSTRUCTIONS).reasons
    assert "dilated" in reason


def test_float_network_has_no_integer_module():
    graph = Graph(3, 8, 8)
    weights = graph.constant(np.ones((4, 3, 1, 1), np.float32))
    graph.sides["plain"] = (4, 8, 8)
    out = graph.node("Conv", [graph.image, weights])
    graph.sides[out] = (4, 8, 8)
    with pytest.warns(CompileWarning, match="no operator of the quantized network can be computed in integers"):
        assert integer_module(graph.model(out), LOCAL_INSTRUCTIONS) is None


def test_sums_that_may_overflow_stay_float():
    graph = Graph(16, 4, 4)
    out = graph.conv(graph.image, 16, quantize=False)
    quantized = graph.quantized(out, (16, 4, 4), 1e-9, 128)
    (reason,) = read_graph(graph.model(quantized), LOCAL_INSTRUCTIONS).reasons
    assert "overflow" in reason or "int32" in reason


def _nearly_dead(graph, name, sides):
    """A result whose calibrated range was all but zero: any other value is far beyond its 255."""
    return graph.quantized(name, sides, 1e-9, 0)


def _channel_means(graph, name):
    return graph.node("ReduceMean", [name, graph.constant(np.array([2, 3]))], keepdims=1)


@pytest.mark.parametrize("kind", ["Add", "Mul", "ReduceMean", "AveragePool", "HardSwish", "mean of HardSwish"])
def test_results_beyond_int32_saturate(tmp_path, kind):
    """As node by node; ONNX Runtime's own integer kernels wrap."""
    graph = Graph(16, 8, 8)
    x = graph.conv(graph.image, 32, 3)
    sides = graph.sides[x]
    match kind:
        case "Add":
            out = _nearly_dead(graph, graph.node("Add", [x, x]), sides)
        case "Mul":
            gate = graph.quantized(_channel_means(graph, x), (32, 1, 1))
            out = _nearly_dead(graph, graph.node("Mul", [x, gate]), sides)
        case "AveragePool":
            sides = (32, 4, 4)
            out = _nearly_dead(graph, graph.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2]), sides)
        case "HardSwish":
            products = graph.conv(x, 32, 3, quantize=False)
            out = _nearly_dead(graph, graph.node("HardSwish", [products]), sides)
        case _:
            sides = (32, 1, 1)
            before = graph.node("HardSwish", [x]) if "HardSwish" in kind else x
            out = _nearly_dead(graph, _channel_means(graph, before), sides)
    graph.sides[out] = sides
    model = graph.model(out)
    images = graph.rng.standard_normal((3, 16, 8, 8)).astype(np.float32) * 2
    with pytest.warns(CompileWarning, match="may not fit in int32"):
        found, _ = _outputs(model, images, tmp_path)
    expected = graph_outputs(tmp_path / "network.onnx", images)
    assert (expected == expected.max()).any()
    assert (found == expected).mean() > 0.98  # what is all but zero may differ


def test_two_threads_compute_the_same(tmp_path):
    graph = Graph(3, 16, 16)
    x = graph.conv(graph.conv(graph.image, 64, 3), 64, 5, depthwise=True)
    model = graph.model(graph.conv(x, 32))
    images = graph.rng.standard_normal((2, 3, 16, 16)).astype(np.float32) * 2
    parallel = integer_module(model, LOCAL_INSTRUCTIONS, threads=2)
    found, expected = _outputs(model, images, tmp_path, parallel)
    np.testing.assert_array_equal(found, _outputs(model, images, tmp_path)[0])
    assert np.abs(found - expected).max() <= graph.steps[list(graph.steps)[-1]] * 1.001


@pytest.mark.filterwarnings("ignore::hw_profiles.errors.CompileWarning")  # a product of two images
def test_runtime_compiles_quantized_networks_to_integers(quantized_network, tmp_path):
    runtime = TvmRuntime()
    artifact = runtime.compile(quantized_network, LOCAL, tmp_path)
    with np.load(quantized_network.reference) as arrays:
        images = arrays["input"]
    executable, session = runtime.load(artifact, LOCAL), load_onnx(quantized_network.onnx)
    found, expected = (
        np.concatenate([one.run(images[at : at + 1]) for at in range(len(images))]) for one in (executable, session)
    )
    assert read_graph(onnx.load(quantized_network.onnx), LOCAL_INSTRUCTIONS).operators > 5
    assert (found.argmax(1) == expected.argmax(1)).all()


def _only_program(model, instructions):
    """The function of a network whose integer kernels are one, and its constants."""
    module = integer_module(model, instructions)
    (function,) = (entry for entry in module.functions.values() if isinstance(entry, tirx.PrimFunc))
    found = []
    relax.analysis.post_order_visit(module["main"], found.append)
    (call,) = (entry for entry in found if isinstance(entry, relax.Call) and entry.op.name == "relax.call_tir")
    return function, [entry.value.numpy() for entry in call.args[1].fields if not isinstance(entry, relax.Var)]


@every_arm
@pytest.mark.parametrize("bits", [8, 4])
def test_arm_processors_compute_the_same(isa, bits):
    """Grouped and depthwise convolutions, a residual, a mean and a linear layer, as one program."""
    graph = Graph(3, 9, 10)
    stem = graph.conv(graph.image, 24, 3, 2, after="HardSwish", bits=bits)
    grouped = graph.conv(stem, 48, 3, group=3, after="Relu", bits=bits)
    project = graph.conv(graph.conv(grouped, 48, 5, depthwise=True, bits=bits), 24, bits=bits)
    total = graph.quantized(graph.node("Add", [stem, project]), graph.sides[stem], 0.06, 100)
    pooled = graph.quantized(graph.node("ReduceMean", [total, graph.constant(np.array([2, 3]))], keepdims=0), (24,))
    weights, _ = graph.weights(40, 24, bits=bits)
    logits = graph.quantized(graph.node("Gemm", [pooled, weights], transB=1), (40,), 0.02, 120)
    model = graph.model(logits)
    assert not read_graph(model, LOCAL_INSTRUCTIONS).reasons
    image = graph.rng.standard_normal((1, 3, 9, 10)).astype(np.float32) * 2
    built = _build(integer_module(model, LOCAL_INSTRUCTIONS), LOCAL)
    expected = TvmExecutable(relax.VirtualMachine(built, tvm.cpu())).run(image)[0]
    function, constants = _only_program(model, instructions_of(arm_profile(isa)))
    found = run_emulated(function, [image, *constants], np.zeros(40, np.float32), isa)
    np.testing.assert_array_equal(found, expected)


def test_older_processors_compute_the_same(tmp_path):
    graph = Graph(3, 9, 9)
    model = graph.model(graph.conv(graph.conv(graph.image, 40, 3, 2, after="HardSwish"), 40, 5, depthwise=True))
    images = graph.rng.standard_normal((2, 3, 9, 9)).astype(np.float32) * 2
    expected, _ = _outputs(model, images, tmp_path)
    for isa in (("sse4_2",), ("avx", "avx2", "f16c", "fma", "sse4_2")):
        if not set(isa) <= set(LOCAL.isa):
            pytest.skip("this processor cannot run the code")
        older = dataclasses.replace(LOCAL, isa=isa)
        built = _build(integer_module(model, instructions_of(older)), older)
        executable = TvmExecutable(relax.VirtualMachine(built, tvm.cpu()))
        found = np.concatenate([executable.run(image[None]) for image in images])
        np.testing.assert_array_equal(found, expected)
