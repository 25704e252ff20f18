import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.onnx._internal.exporter import _core
from torch.onnx._internal.exporter._registration import ONNXRegistry

from hw_profiles.onnx_graph import load_onnx
from hw_profiles.quantized_units import unit_of
from nas.networks.building import build_network
from nas.quantization.onnx_export import (
    ExportError,
    capture,
    export_onnx,
    name_nodes_by_unit,
)
from search_spaces.registry import get_space, space_names
from search_spaces.task import TaskSpec, TensorSpec

TASK = TaskSpec.image_classification(channels=1, height=4, width=4, classes=2)


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


def test_input_and_output_are_named_by_the_task_and_static(network, float_onnx, tmp_path):
    graph = onnx.load(float_onnx).graph
    assert [v.name for v in graph.input] == ["images"]
    assert [v.name for v in graph.output] == ["logits"]
    assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [1, 1, 28, 28]
    spectrum, scores = TensorSpec(name="spectrum", shape=(1, 28, 28)), TensorSpec(name="scores", shape=(10,))
    task = TaskSpec(inputs=(spectrum,), outputs=(scores,))
    export_onnx(capture(network, torch.zeros(1, 1, 28, 28)), network.units, tmp_path / "named.onnx", task=task)
    named = onnx.load(tmp_path / "named.onnx").graph
    assert [v.name for v in (*named.input, *named.output)] == ["spectrum", "scores"]


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
        export_onnx(program, (), tmp_path / "x.onnx", task=TASK)
    assert list(tmp_path.iterdir()) == []


def _first_connected(space):
    genotypes = space.sample(20, np.random.default_rng(5))
    return genotypes[space.connected(genotypes)][0]


class Promoting(nn.Module):
    """PyTorch adds integers to floats, ONNX does not: the exporter has to insert a cast."""

    def forward(self, x):
        return x + torch.arange(x.shape[-1])


def test_what_onnx_cannot_say_as_it_is_is_prepared(tmp_path):
    images = torch.rand(1, 1, 4, 4)
    export_onnx(capture(Promoting(), images), (), tmp_path / "x.onnx", task=TASK)
    assert load_onnx(tmp_path / "x.onnx").run(images.numpy()) == pytest.approx(Promoting()(images).numpy())


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", space_names())
def test_what_the_export_leaves_out_changes_nothing(name, tmp_path):
    """The operators, names and outputs of what PyTorch's exporter writes, which stays as it was."""
    space = get_space(name)
    network = build_network(space, _first_connected(space)).deploy()
    program = capture(network, torch.zeros(1, *space.task.input.shape))
    before = ONNXRegistry.from_torchlib, _core._prepare_exported_program_for_export
    export_onnx(program, network.units, tmp_path / "ours.onnx", task=space.task)
    assert (ONNXRegistry.from_torchlib, _core._prepare_exported_program_for_export) == before
    theirs = torch.onnx.export(
        program,
        dynamo=True,
        external_data=False,
        verbose=False,
        input_names=[space.task.input.name],
        output_names=[space.task.output.name],
    ).model_proto
    name_nodes_by_unit(theirs, network.units)
    onnx.save(theirs, tmp_path / "theirs.onnx")
    ours = onnx.load(tmp_path / "ours.onnx")
    assert [node.name for node in ours.graph.node] == [node.name for node in theirs.graph.node]
    image = np.random.default_rng(0).standard_normal((1, *space.task.input.shape)).astype(np.float32)
    outputs = [load_onnx(tmp_path / name).run(image) for name in ("ours.onnx", "theirs.onnx")]
    assert np.array_equal(*outputs)
