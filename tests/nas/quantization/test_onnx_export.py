import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.onnx._internal.exporter._registration import ONNXRegistry

from hw_profiles.onnx_graph import load_onnx
from nas.quantization.onnx_export import INPUT_NAME, OUTPUT_NAME, ExportError, capture, export_onnx, unit_of


def test_the_graph_says_what_pytorch_says(network, images, float_onnx):
    graph = load_onnx(float_onnx)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    found = np.concatenate([graph.run(image[None]) for image in images])
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_every_node_names_its_unit(network, float_onnx):
    model = onnx.load(float_onnx)
    assert {unit_of(node.name) for node in model.graph.node} == set(network.units)
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)
    resize = [node.name for node in model.graph.node if node.op_type == "Resize"]
    assert [unit_of(name) for name in resize] == ["stem"]


def test_input_and_output_are_named_and_static(float_onnx):
    graph = onnx.load(float_onnx).graph
    assert [v.name for v in graph.input] == [INPUT_NAME]
    assert [v.name for v in graph.output] == [OUTPUT_NAME]
    assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [1, 1, 28, 28]


class Undecided(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else x * 2


class ComplexSpectrum(nn.Module):
    """ONNX has no complex inverse transform of this kind."""

    def forward(self, x):
        return torch.linalg.eigvals(x).real


def test_a_network_that_cannot_be_captured_is_refused():
    with pytest.raises(ExportError, match="could not export"):
        capture(Undecided(), torch.zeros(1, 1, 4, 4))


def test_a_network_that_cannot_be_written_leaves_no_file(tmp_path):
    program = capture(ComplexSpectrum(), torch.zeros(1, 1, 4, 4))
    with pytest.raises(ExportError, match="could not export"):
        export_onnx(program, (), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_shared_operator_table_changes_nothing(network, images, float_onnx, tmp_path):
    """The second export of a process uses the table of the first, and leaves PyTorch as it was."""
    before = ONNXRegistry.from_torchlib
    again = tmp_path / "again.onnx"
    export_onnx(capture(network, torch.from_numpy(images[:1])), network.units, again)
    assert again.read_bytes() == float_onnx.read_bytes()
    assert ONNXRegistry.from_torchlib == before
