"""Sensitivities from real quantized graphs, against figures computed another way."""

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, rel_entr, softmax
from torch import nn

from hw_profiles.onnx_graph import load_onnx
from nas.quantization import sensitivity as module
from nas.quantization.onnx_export import ExportError, capture, export_onnx
from nas.quantization.sensitivity import (
    NetworkSensitivity,
    SensitivityImages,
    cached_sensitivity,
    mean_divergence,
    measure_sensitivity,
)
from nas.quantization.static_quantization import quantize_onnx
from search_spaces.task import TaskSpec


@pytest.fixture(scope="module")
def data(images):
    return SensitivityImages(images=images, labels=np.arange(len(images)) % 10)


@pytest.fixture(scope="module")
def measured(network, float_onnx, data):
    return measure_sensitivity(float_onnx, network.units, ("int8",), data)


def outputs(path, images):
    return np.concatenate([load_onnx(path).run(image[None]) for image in images]).astype(np.float64)


def test_a_units_figures_are_those_of_its_own_quantized_graph(measured, network, float_onnx, data, tmp_path):
    assert [entry.unit for entry in measured.units] == list(network.units)
    unit = "stage1.block2"
    quantize_onnx(float_onnx, {unit: "int8"}, data.images, tmp_path / "q.onnx")
    plain, changed = outputs(float_onnx, data.images), outputs(tmp_path / "q.onnx", data.images)
    entry = measured.of(unit, "int8")
    assert entry.divergence == pytest.approx(rel_entr(softmax(plain, 1), softmax(changed, 1)).sum(1).mean(), rel=1e-6)
    losses = [-log_softmax(one, 1)[np.arange(len(one)), data.labels].mean() for one in (plain, changed)]
    assert measured.float_loss == pytest.approx(losses[0])
    assert entry.loss_increase == pytest.approx(losses[1] - losses[0])
    assert entry.agreement == (plain.argmax(1) == changed.argmax(1)).mean()
    quantize_onnx(float_onnx, dict.fromkeys(network.units, "int8"), data.images, tmp_path / "all.onnx")
    whole = outputs(tmp_path / "all.onnx", data.images)
    (together,) = measured.together
    assert together.divergence == pytest.approx(rel_entr(softmax(plain, 1), softmax(whole, 1)).sum(1).mean(), rel=1e-6)


def test_figures_are_kept_by_content(network, float_onnx, data, measured, tmp_path, monkeypatch):
    units = network.units[:2]
    first = cached_sensitivity(tmp_path, float_onnx, units, ("int8",), data)
    assert first.of(units[0], "int8") == measured.of(units[0], "int8")
    (kept,) = tmp_path.glob("sensitivity-*.json")
    with monkeypatch.context() as patched:
        patched.setattr(module, "measure_sensitivity", None)  # not called again
        assert cached_sensitivity(tmp_path, float_onnx, units, ("int8",), data) == first
    kept.write_text("{")
    assert cached_sensitivity(tmp_path, float_onnx, units, ("int8",), data) == first
    cached_sensitivity(tmp_path, float_onnx, units, ("int8",), SensitivityImages(images=data.images[:4]))
    assert len(list(tmp_path.glob("sensitivity-*.json"))) == 2


def test_figures_survive_json(measured):
    assert NetworkSensitivity.from_json(measured.as_json()) == measured


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 5.0))
def test_divergences_are_not_negative_and_zero_for_equal_probabilities(seed, size):
    rng = np.random.default_rng(seed)
    first = log_softmax(rng.normal(size=(5, 4)), axis=1)
    second = log_softmax(first + size * rng.normal(size=(5, 4)), axis=1)
    assert mean_divergence(first, first) == 0.0
    assert mean_divergence(first, second) == pytest.approx(rel_entr(np.exp(first), np.exp(second)).sum(1).mean())


class Chain(nn.Module):
    """Two units; ``dead`` has no operator that integers have a form for."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.dead = nn.Softplus()
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        with torch.no_grad():
            self.stem.weight.mul_(scale)

    def forward(self, x):
        return self.head(self.dead(self.stem(x)))


UNITS = ("stem", "dead", "head")


def exported(network, path):
    task = TaskSpec.image_classification(channels=1, height=8, width=8, classes=3)
    export_onnx(capture(network.eval(), torch.zeros(1, *task.input.shape)), UNITS, path, task=task)
    return path


def pictures(value=None):
    if value is not None:
        return np.full((4, 1, 8, 8), value, dtype=np.float32)
    return np.random.default_rng(0).standard_normal((4, 1, 8, 8)).astype(np.float32)


def test_a_unit_that_cannot_be_quantized_is_said_and_stays_float(tmp_path):
    found = measure_sensitivity(
        exported(Chain(), tmp_path / "f.onnx"), UNITS, ("int8",), SensitivityImages(images=pictures())
    )
    dead = found.of("dead", "int8")
    assert (dead.divergence, dead.loss_increase) == (None, None)
    assert "no operator of unit dead" in dead.reason
    assert found.of("stem", "int8").divergence > 0
    assert found.float_loss is None
    assert found.together[0].divergence is not None


def test_infinite_activations_are_refused_with_the_units_name(tmp_path):
    path = exported(Chain(scale=3e38), tmp_path / "f.onnx")
    with pytest.raises(ExportError, match=r"unit stem.*no integer scale"):
        measure_sensitivity(path, UNITS, ("int8",), SensitivityImages(images=10 * pictures()))
    with pytest.raises(ExportError, match="unit stem"):
        quantize_onnx(path, dict.fromkeys(UNITS, "int8"), 10 * pictures(), tmp_path / "q.onnx")
    with pytest.raises(ExportError, match="at least one calibration image"):
        quantize_onnx(path, dict.fromkeys(UNITS, "int8"), pictures()[:0], tmp_path / "q.onnx")


@pytest.mark.parametrize("value", [0.0, 0.5, -2.0])
def test_calibration_images_of_one_value_still_quantize(tmp_path, value):
    """Ranges that are a point, or zero, have a scale; the calibrated image itself stays what it was."""
    network = Chain()
    with torch.no_grad():
        network.stem.bias.zero_()
        network.head[2].bias.zero_()
    path = exported(network, tmp_path / "f.onnx")
    images = pictures(value)
    quantize_onnx(path, dict.fromkeys(UNITS, "int8"), images, tmp_path / "q.onnx")
    plain, changed = outputs(path, images), outputs(tmp_path / "q.onnx", images)
    assert np.isfinite(outputs(tmp_path / "q.onnx", pictures())).all()
    assert np.abs(plain - changed).max() < 0.02 * max(np.abs(plain).max(), 0.1)


def test_dead_channels_have_a_finite_scale_and_leave_the_others_alone(tmp_path):
    network = Chain()
    with torch.no_grad():
        network.stem.weight[1] = 0.0  # dead, with a bias
        network.stem.weight[2] = 1e-30  # all but dead
        network.stem.bias.copy_(torch.tensor([0.1, 0.7, -0.3, 0.2]))
    path = exported(network, tmp_path / "f.onnx")
    quantize_onnx(path, dict.fromkeys(UNITS, "int8"), pictures(), tmp_path / "q.onnx")
    scales = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(tmp_path / "q.onnx").graph.initializer
        if tensor.name.endswith("_scale")
    ]
    assert all(np.isfinite(scale).all() and (scale > 0).all() for scale in scales)
    plain, changed = outputs(path, pictures()), outputs(tmp_path / "q.onnx", pictures())
    assert np.abs(plain - changed).max() < 0.03 * np.abs(plain).max()
