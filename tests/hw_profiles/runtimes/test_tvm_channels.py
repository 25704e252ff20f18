"""Networks with whole vectors of channels compute what they did; others stay as they are."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hw_profiles.onnx_graph import graph_outputs
from hw_profiles.runtimes.tvm_channels import fill_vectors

LANES = 16


class Chain:
    """Builds a float graph of one image of 3x6x6."""

    def __init__(self):
        self.rng = np.random.default_rng(0)
        self.nodes, self.constants = [], []

    def constant(self, array):
        self.constants.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def node(self, kind, inputs, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [f"t{len(self.nodes)}"], **attributes))
        return self.nodes[-1].output[0]

    def conv(self, source, inputs, outputs, kernel=1, group=1, *, bias=True):
        weights = self.rng.standard_normal((outputs, inputs // group, kernel, kernel)).astype(np.float32)
        operands = [source, self.constant(weights)]
        if bias:
            operands.append(self.constant(self.rng.standard_normal(outputs).astype(np.float32)))
        return self.node("Conv", operands, pads=[kernel // 2] * 4, group=group)

    def model(self, output, channels):
        graph = helper.make_graph(
            self.nodes, "network", [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 6, 6])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, channels, 6, 6])], self.constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 10
        return model


def filled(chain, output, channels, folder, lanes=LANES):
    """Shapes of the convolutions' weights after filling; the outputs are compared before and after."""
    model = chain.model(output, channels)
    images = chain.rng.standard_normal((2, 3, 6, 6)).astype(np.float32)
    outputs = []
    for _ in range(2):
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, folder / "n.onnx")
        outputs.append(graph_outputs(folder / "n.onnx", images))
        fill_vectors(model, lanes)
    assert outputs[1] == pytest.approx(outputs[0], rel=1e-4, abs=1e-3)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    return [shapes[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]


def inverted_residual(chain, *, bias=True):
    """3 to 136 channels, 184 inside, a sum of two tensors of 136, and 40 at the end."""
    before = chain.node("Relu", [chain.conv("image", 3, 136, bias=bias)])
    inner = chain.node("HardSwish", [chain.conv(before, 136, 184, bias=bias)])
    inner = chain.node("Relu", [chain.conv(inner, 184, 184, 3, 184, bias=bias)])
    total = chain.node("Add", [before, chain.conv(inner, 184, 136, bias=bias)])
    return chain.conv(total, 136, 40, bias=bias)


@pytest.mark.parametrize("bias", [True, False])
def test_filled_networks_compute_the_same(tmp_path, bias):
    chain = Chain()
    found = filled(chain, inverted_residual(chain, bias=bias), 40, tmp_path)
    assert found == [(144, 3, 1, 1), (192, 144, 1, 1), (192, 1, 3, 3), (144, 192, 1, 1), (40, 144, 1, 1)]


def test_whole_vectors_and_narrow_tensors_stay(tmp_path):
    chain = Chain()
    found = filled(chain, inverted_residual(chain), 40, tmp_path, lanes=8)
    assert found == [(136, 3, 1, 1), (184, 136, 1, 1), (184, 1, 3, 3), (136, 184, 1, 1), (40, 136, 1, 1)]
    chain = Chain()
    assert filled(chain, chain.conv(chain.conv("image", 3, 24), 24, 8), 8, tmp_path) == [(24, 3, 1, 1), (8, 24, 1, 1)]


@pytest.mark.parametrize("reader", ["output", "Sigmoid", "Mul", "constant", "grouped"])
def test_tensors_that_others_read_keep_their_channels(tmp_path, reader):
    chain = Chain()
    wide = chain.conv("image", 3, 184)
    match reader:
        case "output":
            end, channels = wide, 184
        case "Sigmoid":
            end, channels = chain.conv(chain.node("Sigmoid", [wide]), 184, 8), 8
        case "Mul":
            gate = chain.node("GlobalAveragePool", [wide])
            end, channels = chain.conv(chain.node("Mul", [wide, gate]), 184, 8), 8
        case "constant":
            ones = chain.constant(np.ones((1, 184, 1, 1), np.float32))
            end, channels = chain.conv(chain.node("Add", [wide, ones]), 184, 8), 8
        case _:
            end, channels = chain.conv(wide, 184, 8, group=2), 8
    assert filled(chain, end, channels, tmp_path)[0] == (184, 3, 1, 1)
