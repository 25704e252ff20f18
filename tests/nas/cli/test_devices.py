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


@pytest.mark.slow
def test_a_device_is_checked(hwnas):
    found = hwnas.json("devices", "check", "local-cpu/onnxruntime", "--repeats", 3)
    assert (found["device"], found["repeats"], found["timings"]) == ("local-cpu/onnxruntime", 3, 6)
    assert found["repeatability_pct"] > 0
    assert found["networks"][0]["latency_p50_ms"] < found["networks"][1]["latency_p50_ms"]
    assert found["grade"] in ("good", "usable", "poor")
    assert found["verdict"].startswith("local-cpu/onnxruntime repeats within")
    assert found["setup"]["virtual"] in (True, False)
    code, out, err = hwnas("devices", "check", "local-cpu/onnxruntime", "--repeats", 3)
    assert code == 0, err
    assert "repeats within" in out


def test_a_check_of_an_unknown_device_or_of_too_few_repeats_is_refused(hwnas):
    assert "cannot be measured here" in hwnas.refused("devices", "check", "phone/tvm")
    assert "at least 3" in hwnas.refused("devices", "check", "local-cpu/onnxruntime", "--repeats", 2)
