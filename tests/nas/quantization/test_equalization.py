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


RELU = {f"stage{stage}.activation": "relu" for stage in (1, 2, 3)}


@pytest.mark.parametrize(("space", "values"), [(SPACE, RELU), (RESNET, {})], ids=["mobilenet_v3", "resnet"])
def test_the_equalized_graph_computes_the_same(space, values, images, tmp_path):
    path, equalized = tmp_path / "float.onnx", tmp_path / "equalized.onnx"
    model = exported(space, space.genotype(values), images, path)
    found = equalize(model)
    onnx.save(found, equalized)
    expected = graph_outputs(path, images)
    assert graph_outputs(equalized, images) == pytest.approx(expected, abs=1e-5 * float(np.abs(expected).max()))
    pairs, before, after = list(equalizable_pairs(found)), weights_of(model), weights_of(found)
    assert len(pairs) > len(values)
    for first, second in pairs:
        written, read = after[first.input[1]], after[second.input[1]]
        assert not np.array_equal(written, before[first.input[1]])
        by_channel = np.abs(read if read.shape[1] == 1 else read.swapaxes(0, 1)).reshape(len(written), -1)
        assert np.abs(written).reshape(len(written), -1).max(1) == pytest.approx(by_channel.max(1), rel=0.05)


def test_layers_around_hard_swish_gates_and_sums_stay(float_onnx):
    """Of the fixture's network: its last stage has hard-swish, its second squeeze-excite behind the depthwise layer."""
    pairs = {(first.input[1], second.input[1]) for first, second in equalizable_pairs(onnx.load(float_onnx))}
    within = {(first.removesuffix(".conv.weight"), second.removesuffix(".conv.weight")) for first, second in pairs}
    assert ("stage2.block1.expand", "stage2.block1.depthwise") in within
    assert ("stage2.block1.depthwise", "stage2.block1.project") not in within
    assert not any(first.startswith("stage3") and not first.endswith("project") for first, _ in within)
    # The second block of stage 1 adds its input, so that two read what the first block writes.
    assert ("stage1.block1.project", "stage1.block2.expand") not in within


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
