"""Units that stay in float are found in the graph, with the reason."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hw_profiles.detect import resolve_profile
from hw_profiles.errors import ArtifactError
from hw_profiles.quantized_units import NO_INTEGER_FORM, quantized_nodes, unit_of, units_without_integers
from hw_profiles.runtimes.registry import get_runtime

POLICY = {"stem": "int8", "dead": "int8", "float": "fp32", "head": "int8"}


def model(*, dilations=(1, 1)):
    """A convolution, a function without an integer form, a float convolution, and a convolution; 4x6x6 each."""
    rng = np.random.default_rng(0)
    constants, nodes = [], []

    def constant(array):
        constants.append(numpy_helper.from_array(np.asarray(array), f"c{len(constants)}"))
        return constants[-1].name

    def node(kind, unit, inputs, **attributes):
        name = f"{unit}/{kind}_{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [f"{name}:0"], name=name, **attributes))
        return nodes[-1].output[0]

    def rounded(unit, name):
        scheme = [constant(np.float32(0.05)), constant(np.uint8(120))]
        return node("DequantizeLinear", unit, [node("QuantizeLinear", unit, [name, *scheme]), *scheme])

    def convolution(unit, name, *, quantized=True, **attributes):
        weights = rng.integers(-127, 128, (4, 4, 1, 1)).astype(np.int8)
        if not quantized:
            return node("Conv", unit, [name, constant(weights.astype(np.float32) / 127)])
        scales = constant(np.full(4, 0.01, np.float32))
        read = node("DequantizeLinear", unit, [constant(weights), scales, constant(np.zeros(4, np.int8))], axis=0)
        return node("Conv", unit, [name, read], **attributes)

    x = rounded("stem", convolution("stem", rounded("stem", "images")))
    x = rounded("head", convolution("float", node("Softplus", "dead", [x]), quantized=False))
    x = rounded("head", convolution("head", x, dilations=list(dilations)))
    graph = helper.make_graph(
        [*nodes, helper.make_node("Identity", [x], ["logits"], name="network/last")], "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 4, 6, 6])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4, 6, 6])], constants,
    )  # fmt: skip
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    whole.ir_version = 10
    return whole


def saved(graph, folder):
    onnx.save(graph, folder / "quantized.onnx")
    return folder / "quantized.onnx"


def test_a_unit_is_quantized_if_an_operator_of_it_is():
    assert [unit_of(node.name) for node in quantized_nodes(model())] == ["stem", "head"]
    assert units_without_integers(model(), POLICY) == {"dead": NO_INTEGER_FORM}
    assert units_without_integers(model(), POLICY | {"dead": "fp32"}) == {}


def test_onnx_runtime_computes_an_emulated_precision_in_float(tmp_path):
    runtime, profile = get_runtime("onnxruntime"), resolve_profile("local-cpu/onnxruntime")
    path = saved(model(), tmp_path)
    assert runtime.float_units(path, POLICY, profile) == {"dead": NO_INTEGER_FORM}
    found = runtime.float_units(path, POLICY | {"head": "w4a8"}, profile)
    assert list(found) == ["dead", "head"]
    assert "computes w4a8 in float" in found["head"]


def test_tvm_names_units_whose_products_have_no_kernel(tmp_path):
    runtime, profile = get_runtime("tvm"), resolve_profile("local-cpu/tvm")
    assert runtime.float_units(saved(model(), tmp_path), POLICY, profile) == {"dead": NO_INTEGER_FORM}
    found = runtime.float_units(saved(model(dilations=(2, 2)), tmp_path), POLICY, profile)
    assert list(found) == ["dead", "head"]
    assert "dilated" in found["head"]


@pytest.mark.parametrize("content", [None, b"no graph"])
def test_a_graph_that_cannot_be_read_is_an_error(tmp_path, content):
    if content is not None:
        (tmp_path / "q.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"q\.onnx cannot be read"):
        get_runtime("tvm").float_units(tmp_path / "q.onnx", POLICY, resolve_profile("local-cpu/tvm"))


def test_finding_them_imports_no_compiler():
    code = "import hw_profiles.runtimes.tvm_integer.graph, sys; print(sorted({'tvm', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"
