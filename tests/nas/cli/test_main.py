import json
import subprocess
import sys

import pytest

from nas.cli.main import run

COMMANDS = (
    "quickstart",
    "data",
    "devices",
    "train",
    "measure",
    "fit",
    "measurements",
    "search",
    "front",
    "export",
    "serve",
    "worker",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    assert run([command, "--help"]) == 0
    assert "Usage: hwnas" in capsys.readouterr().out


def test_no_command_is_usage(capsys):
    assert run([]) == 2
    assert "quickstart" in "".join(capsys.readouterr())


@pytest.mark.parametrize("arguments", [["sing"], ["train", "--epochs", "0"], ["search", "--evaluations", "x"]])
def test_wrong_usage_is_code_2(arguments, capsys):
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err


def test_errors_are_json_where_asked(capsys):
    assert run(["data", "export", "nothing", "x.npz", "--json"]) == 2
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["code"] == "unknown-name"


def test_debug_shows_the_traceback():
    command = [sys.executable, "-m", "nas.cli", "data", "export", "nothing", "x.npz", "--debug"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_importing_the_command_line_loads_nothing_heavy():
    code = (
        "import sys, nas.cli.main as m; m.register_commands();"
        "print([n for n in ('torch','tvm','onnxruntime','xgboost','optuna','fastapi','matplotlib')"
        " if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_data_exports_what_npz_takes(tmp_path, capsys):
    assert run(["data", "export", "fashion-mini", str(tmp_path / "f.npz"), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["train"], first["test"]) == (12_000, 10_000)
    assert run(["data", "export", f"npz:{tmp_path / 'f.npz'}", str(tmp_path / "g.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fingerprint"] == first["fingerprint"]


def test_devices_are_detected(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path))
    assert run(["devices", "--json"]) == 0
    assert {row["id"] for row in json.loads(capsys.readouterr().out)} >= {"local-cpu/tvm", "local-cpu/onnxruntime"}
