"""A family that hwnas does not know, from its entry point to an exported front."""

import json

import numpy as np
import pytest

from nas.data.sources import load_dataset
from nas.fronts.front import Front
from nas.workflows.exporting import check_export
from tests.command_line import CommandLine

DEVICE = "local-cpu/onnxruntime"
SPACE = "toy:small"


@pytest.fixture
def hwnas(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    return CommandLine(tmp_path / "home", capsys)


@pytest.fixture
def data(tmp_path):
    """300 training and 100 test images of fashion-mini as an npz."""
    full = load_dataset("fashion-mini")
    np.savez(
        tmp_path / "small.npz",
        x_train=full.x_train[:300],
        y_train=full.y_train[:300],
        x_test=full.x_test[:100],
        y_test=full.y_test[:100],
    )
    return f"npz:{tmp_path / 'small.npz'}"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("toy_family")
def test_a_users_family_is_trained_searched_finished_verified_and_exported(hwnas, data, tmp_path):
    trained = hwnas.json("train", "--data", data, "--space", SPACE, "--epochs", 2, "--batch-size", 32, "--threads", 1)
    assert trained["space"] == SPACE
    front = hwnas.json(
        "search", "--device", DEVICE, "--evaluations", 6, "--batch", 3, "--survey", 8, "--finish-epochs", 0.5
    )
    assert front["members"]
    assert all({"onnx", "weights", "manifest"} <= set(member["artifacts"]) for member in front["members"])
    report = hwnas.json("export", front["front"], "--out", tmp_path / "exported")
    written = (tmp_path / "exported" / "front.json").read_bytes()
    assert json.loads(written)["space"] == SPACE
    assert check_export(Front.from_bytes(written), tmp_path / "exported") == report["files_checked"]
