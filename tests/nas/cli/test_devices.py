"""Device profiles on the command line: listed, shown as TOML, added."""

import pytest

from hw_profiles.detect import resolve_profile
from tests.command_line import CommandLine


@pytest.fixture
def hwnas(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    return CommandLine(tmp_path / "home", capsys)


@pytest.fixture
def toml(hwnas, tmp_path):
    """A profile of this machine under another id."""
    code, out, _ = hwnas("devices", "show", "local-cpu/onnxruntime")
    assert code == 0
    path = tmp_path / "own.toml"
    path.write_text(out.replace('id = "local-cpu/onnxruntime"', 'id = "local-cpu/own"'))
    return path


def test_devices_lists_what_was_detected(hwnas):
    assert {row["id"] for row in hwnas.json("devices")} >= {"local-cpu/onnxruntime", "local-cpu/tvm"}


def test_a_shown_profile_can_be_added_and_is_listed(hwnas, toml):
    added = hwnas.json("devices", "add", toml)
    assert added == {"device": "local-cpu/own", "fingerprint": resolve_profile("local-cpu/onnxruntime").fingerprint}
    assert "local-cpu/own" in {row["id"] for row in hwnas.json("devices")}


def test_a_detected_profile_is_not_replaced(hwnas, toml):
    toml.write_text(toml.read_text().replace("local-cpu/own", "local-cpu/tvm"))
    assert "another id" in hwnas.refused("devices", "add", toml)
