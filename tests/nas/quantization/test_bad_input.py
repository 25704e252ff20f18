"""Networks and images that are hard to quantize: each is refused in a sentence, or quantized to what can be used."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from hw_profiles.onnx_graph import graph_outputs
from nas.cli.bench_quantization import _print
from nas.quantization.activation_ranges import RangeSettings
from nas.quantization.fake_quantization import fake_quantized
from nas.quantization.integer_tensors import IntegerTensors
from nas.quantization.onnx_export import ExportError, capture, export_onnx
from nas.quantization.sensitivity import SensitivityImages, measure_sensitivity
from nas.quantization.static_quantization import QuantizableGraph, QuantizationRecipe
from nas.workflows.quantization_benchmark import RECIPES, QuantizationRow
from search_spaces.task import TaskSpec

UNITS = ("stem", "dead", "head")
POLICY = dict.fromkeys(UNITS, "int8")
TASK = TaskSpec.image_classification(channels=1, height=8, width=8, classes=3)


class MeanClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(x.mean((2, 3)))


class Chain(nn.Module):
    """Three units; ``dead`` has no operator that integers have a form for."""

    def __init__(self, scale=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(1, 4, 3)
        self.dead = nn.Softplus()
        self.head = MeanClassifier()
        with torch.no_grad():
            self.stem.weight.mul_(scale)

    def forward(self, x):
        return self.head(self.dead(self.stem(x)))


def exported(network, path):
    program = capture(network.eval().requires_grad_(requires_grad=False), torch.zeros(1, *TASK.input.shape))
    export_onnx(program, UNITS, path, task=TASK)
    return program


def pictures(value=None):
    if value is not None:
        return np.full((4, 1, 8, 8), value, dtype=np.float32)
    return np.random.default_rng(0).standard_normal((4, 1, 8, 8)).astype(np.float32)


def quantized(folder, network, images, recipe=None):
    """Outputs of the float graph and of the integer graph on its calibration images, and the integer graph's path."""
    program = exported(network, folder / "f.onnx")
    QuantizableGraph.calibrated(folder / "f.onnx", images, recipe).write(POLICY, folder / "q.onnx")
    # Whatever the scales are, the network can be trained with them.
    trainable = fake_quantized(program, IntegerTensors.of(onnx.load(folder / "q.onnx"), POLICY))
    trainable(torch.from_numpy(pictures())).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in trainable.parameters())
    return graph_outputs(folder / "f.onnx", images), graph_outputs(folder / "q.onnx", images), folder / "q.onnx"


def test_a_unit_that_cannot_be_quantized_is_said_and_stays_float(tmp_path):
    exported(Chain(), tmp_path / "f.onnx")
    found = measure_sensitivity(tmp_path / "f.onnx", UNITS, ("int8",), SensitivityImages(images=pictures()))
    dead = found.of("dead", "int8")
    assert (dead.divergence, dead.loss_increase) == (None, None)
    assert "no operator of unit dead" in dead.reason
    assert found.of("stem", "int8").divergence > 0
    assert found.float_loss is None
    assert found.together[0].divergence is not None
    graph = QuantizableGraph.calibrated(tmp_path / "f.onnx", pictures())
    assert [graph.quantizable(unit) for unit in UNITS] == [True, False, True]
    with pytest.raises(ExportError, match="quantizes no operator of this network"):
        graph.write({"dead": "int8"}, tmp_path / "q.onnx")


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_infinite_ranges_are_refused_with_the_units_name(tmp_path, recipe):
    exported(Chain(scale=3e38), tmp_path / "f.onnx")
    with pytest.raises(ExportError, match=r"unit stem.*no integer scale"):
        QuantizableGraph.calibrated(tmp_path / "f.onnx", 10 * pictures(), recipe)
    with pytest.raises(ExportError, match="at least one calibration image"):
        QuantizableGraph.calibrated(tmp_path / "f.onnx", pictures()[:0], recipe)


@pytest.mark.parametrize("value", [0.0, 0.5, -2.0])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_calibration_images_of_one_value_still_quantize(tmp_path, value, recipe):
    """Ranges that are a point, or zero, have a scale; the calibrated image itself stays what it was."""
    network = Chain()
    with torch.no_grad():
        network.stem.bias.zero_()
        network.head.linear.bias.zero_()
    plain, changed, path = quantized(tmp_path, network, pictures(value), recipe)
    assert np.isfinite(graph_outputs(path, pictures())).all()
    assert np.abs(plain - changed).max() < 0.02 * max(np.abs(plain).max(), 0.1)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_dead_channels_have_a_finite_scale_and_leave_the_others_alone(tmp_path, recipe):
    network = Chain()
    with torch.no_grad():
        network.stem.weight[1] = 0.0  # dead, with a bias
        network.stem.weight[2] = 1e-30  # all but dead
        network.stem.bias.copy_(torch.tensor([0.1, 0.7, -0.3, 0.2]))
    plain, changed, path = quantized(tmp_path, network, pictures(), recipe)
    scales = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(path).graph.initializer
        if tensor.name.endswith("_scale")
    ]
    assert all(np.isfinite(scale).all() and (scale > 0).all() for scale in scales)
    assert np.abs(plain - changed).max() < 0.03 * np.abs(plain).max()


def test_a_collapse_is_measured_and_shown(tmp_path, capsys):
    """One channel is so much larger than the others that their integers are all the same."""
    network = Chain()
    with torch.no_grad():
        network.stem.weight[0] = 1e5
        network.head.linear.weight[:, 0] = 1e-9
    plain, changed, _ = quantized(tmp_path, network, pictures(), QuantizationRecipe(ranges=RangeSettings()))
    assert np.abs(plain - changed).max() > 0.1 * np.abs(plain).max()
    images = SensitivityImages(images=pictures(), labels=plain.argmax(1))
    (together,) = measure_sensitivity(tmp_path / "f.onnx", UNITS, ("int8",), images).together
    assert together.divergence > 1e-3
    assert together.loss_increase is not None
    _print(
        [
            QuantizationRow(summary="n", recipe="minmax", precision="int8", accuracy_fp32=0.8, accuracy=a, images=9)
            for a in (0.79, 0.39)
        ]
    )
    shown = capsys.readouterr().out
    assert shown.count("drops from") == 1
    assert "minmax: n drops from 80.0% to 39.0%" in shown
