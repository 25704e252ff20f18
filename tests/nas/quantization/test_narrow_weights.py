"""4-bit units: packed in the graph, computed by ONNX Runtime, integers of the precision alone."""

import numpy as np
import onnx
import pytest
import torch

from hw_profiles.onnx_graph import load_onnx
from nas.quantization.static_quantization import quantize_onnx
from nas.quantization.weight_scales import weight_scales
from search_spaces.precision import SPECS


@pytest.fixture(scope="module")
def graphs(float_onnx, network, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantized")
    for precision in ("int8", "w4a8"):
        quantize_onnx(float_onnx, dict.fromkeys(network.units, precision), images, folder / f"{precision}.onnx")
    return {precision: folder / f"{precision}.onnx" for precision in ("int8", "w4a8")}


def _weights(path):
    """Stored weights of each operator, by its name, with their scales."""
    graph = onnx.load(path).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    made = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    return {
        node.name: tuple(tensors[name] for name in made[node.input[1]].input[:2])
        for node in graph.node
        if node.op_type in ("Conv", "Gemm")
    }


def test_weights_are_packed_and_symmetric(graphs):
    found = _weights(graphs["w4a8"])
    assert len(found) == len(_weights(graphs["int8"])) > 10
    for stored, _ in found.values():
        assert stored.data_type == onnx.TensorProto.INT4
        values = onnx.numpy_helper.to_array(stored).astype(np.int8)
        assert len(stored.raw_data) == -(-values.size // 2)
        assert np.abs(values).max() <= 7


def test_scales_are_those_of_least_squared_error(graphs, float_onnx):
    float_weights = {
        tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(float_onnx).graph.initializer
    }
    for node in onnx.load(float_onnx).graph.node:
        if node.op_type == "Conv":
            expected = weight_scales(float_weights[node.input[1]].astype(np.float64), SPECS["w4a8"]).ravel()
            found = onnx.numpy_helper.to_array(_weights(graphs["w4a8"])[node.name][1])
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_onnx_runtime_computes_what_the_float_weights_give(graphs, network, images):
    with torch.no_grad():
        truth = network(torch.from_numpy(images)).numpy()
    errors = {}
    for precision, path in graphs.items():
        outputs = np.concatenate([load_onnx(path).run(image[None]) for image in images])
        errors[precision] = np.abs(outputs - truth).mean()
    assert errors["int8"] < errors["w4a8"] < np.abs(truth).mean()


def test_graphs_without_4_bit_units_keep_their_version(graphs):
    versions = {name: onnx.load(path).opset_import[0].version for name, path in graphs.items()}
    assert versions["int8"] < versions["w4a8"] == 21
