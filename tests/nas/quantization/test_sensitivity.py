"""Sensitivities from real quantized graphs, against figures computed another way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, rel_entr, softmax

from hw_profiles.onnx_graph import load_onnx
from nas.quantization import sensitivity as module
from nas.quantization.sensitivity import (
    NetworkSensitivity,
    SensitivityImages,
    cached_sensitivity,
    mean_divergence,
    measure_sensitivity,
)
from nas.quantization.static_quantization import quantize_onnx


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
