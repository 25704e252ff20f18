"""Merged groups of float convolutions: the same outputs, from fewer groups."""

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from hw_profiles.runtimes.tvm_groups import merge_convolution_groups


def _model(groups, inputs, outputs, kernel=1):
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((groups * outputs, inputs, kernel, kernel)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["first"], group=groups, pads=[kernel // 2] * 4),
        helper.make_node("Conv", ["x", "w"], ["second"], group=groups, pads=[kernel // 2] * 4),
        helper.make_node("Add", ["first", "second"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, groups * inputs, 5, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, groups * outputs, 5, 6])],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    return model


def _groups(model):
    return [entry.i for node in model.graph.node for entry in node.attribute if entry.name == "group"]


@pytest.mark.parametrize(
    ("groups", "inputs", "outputs", "kernel", "expected"),
    [(2, 28, 56, 1, 1), (4, 8, 8, 3, 2), (2, 32, 48, 1, 2), (16, 1, 1, 3, 16), (6, 3, 5, 1, 1)],
)
def test_outputs_stay_the_same(groups, inputs, outputs, kernel, expected):
    model = _model(groups, inputs, outputs, kernel)
    image = np.random.default_rng(1).standard_normal((1, groups * inputs, 5, 6)).astype(np.float32)

    def run():
        return ort.InferenceSession(model.SerializeToString()).run(None, {"x": image})[0]

    before = run()
    merge_convolution_groups(model)
    assert _groups(model) == [expected] * 2
    np.testing.assert_allclose(run(), before, rtol=1e-5, atol=1e-5)
