"""A small home on real images: a supernet trained for moments, shared by the tests of the steps."""

import numpy as np
import pytest

from nas.data.sources import load_dataset
from tests.command_line import CommandLine

SEARCH = ("search", "--device", "local-cpu/onnxruntime", "--batch", 3, "--survey", 8, "--finish-epochs", 0)
"""A small search; test_finishing.py has those that finish their networks."""


@pytest.fixture(scope="session")
def small_data(tmp_path_factory):
    """300 training and 100 test images of fashion-mini as an npz."""
    full = load_dataset("fashion-mini")
    rng = np.random.default_rng(0)
    train, test = rng.permutation(len(full.x_train))[:300], rng.permutation(len(full.x_test))[:100]
    path = tmp_path_factory.mktemp("data") / "small.npz"
    np.savez(
        path,
        x_train=full.x_train[train],
        y_train=full.y_train[train],
        x_test=full.x_test[test],
        y_test=full.y_test[test],
    )
    return path


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def hwnas(shared_home, monkeypatch, capsys):
    """The command line on the home that all tests of this folder build up."""
    monkeypatch.setenv("HWNAS_HOME", str(shared_home))
    return CommandLine(shared_home, capsys)


@pytest.fixture
def supernet(hwnas, small_data):
    """The trained supernet's JSON; trained by whoever asks first."""
    return hwnas.json("train", "--data", f"npz:{small_data}", "--epochs", 1, "--batch-size", 32, "--threads", 1)


@pytest.fixture
def searched(hwnas, supernet):
    """The stored front of a small search on ONNX Runtime, as JSON."""
    assert supernet["supernet"]
    return hwnas.json(*SEARCH, "--evaluations", 8)
