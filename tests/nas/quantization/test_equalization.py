"""Equalized graphs against the graphs that they come from."""

import numpy as np
import onnx
import pytest
import torch

from hw_profiles.onnx_graph import graph_outputs
from nas.networks.building import build_network
from nas.quantization.equalization import equalizable_pairs, equalize
from nas.quantization.onnx_export import capture, export_onnx
from search_spaces.registry import get_space
from tests.nas.quantization.conftest import SPACE

RESNET = get_space("resnet:tiny")


def exported(space, genotype, images, path):
    """A network whose channels' sizes differ by orders of magnitude."""
    torch.manual_seed(1)
    network = build_network(space, genotype).deploy()
    for parameter in network.parameters():
        scale = torch.logspace(-2, 0, len(parameter))[torch.randperm(len(parameter))]
        parameter.mul_(scale.reshape(-1, *[1] * (parameter.ndim - 1)))
    export_onnx(capture(network, torch.from_numpy(images[:1])), network.units, path, task=space.task)
    return onnx.load(path)


def weights_of(model):
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@pytest.mark.parametrize(
    ("space", "values", "pairs"),
    [
        (SPACE, {"stage1.activation": "relu", "stage2.activation": "relu", "stage3.activation": "relu"}, True),
        (RESNET, {}, True),
        (SPACE, {f"stage{stage}.activation": "hard_swish" for stage in (1, 2, 3)}, False),
    ],
)
def test_the_equalized_graph_computes_the_same(space, values, pairs, images, tmp_path):
    path, equalized = tmp_path / "float.onnx", tmp_path / "equalized.onnx"
    model = exported(space, space.genotype(values), images, path)
    found = equalize(model)
    onnx.save(found, equalized)
    expected = graph_outputs(path, images)
    assert graph_outputs(equalized, images) == pytest.approx(expected, abs=1e-5 * float(np.abs(expected).max()))
    before, after = weights_of(model), weights_of(found)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    # Only the first block has a ReLU whatever the genes say.
    assert bool(changed - {name for name in before if name.startswith("first.")}) == pairs
    for first, second in equalizable_pairs(found):
        written = after[first.input[1]]
        read = after[second.input[1]]
        if read.shape[1] == len(written):  # not depthwise
            largest = np.abs(written).reshape(len(written), -1).max(1)
            assert largest == pytest.approx(
                np.abs(read).transpose(1, 0, 2, 3).reshape(len(written), -1).max(1), rel=0.05
            )


def test_layers_around_sums_gates_and_hard_swish_stay(float_onnx):
    """Of the fixture's network: the last stage has hard-swish, the second squeeze-excite."""
    names = {(first.name, second.name) for first, second in equalizable_pairs(onnx.load(float_onnx))}
    units = [(first.split("/")[0], second.split("/")[0]) for first, second in names]
    assert ("first", "first") in units
    assert not any("stage3" in unit for pair in units for unit in pair)


def test_dead_channels_stay_as_they_are(images, tmp_path):
    path = tmp_path / "float.onnx"
    model = exported(RESNET, RESNET.smallest(), images, path)
    first, second = next(iter(equalizable_pairs(model)))
    for tensor in model.graph.initializer:
        if tensor.name == first.input[1]:
            dead = onnx.numpy_helper.to_array(tensor).copy()
            dead[0] = 0.0
            tensor.CopyFrom(onnx.numpy_helper.from_array(dead, tensor.name))
    before, after = weights_of(model), weights_of(equalize(model))
    assert not after[first.input[1]][0].any()
    assert np.array_equal(after[second.input[1]][:, 0], before[second.input[1]][:, 0])
    assert all(np.isfinite(values).all() for values in after.values())
