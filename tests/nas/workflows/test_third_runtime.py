"""A runtime that hwnas does not know, from its entry point to an exported front."""

import json

import pytest

from hw_profiles.runtimes.registry import runtime_names
from nas.fronts.front import Front
from nas.home import Home
from nas.workflows.exporting import check_export
from nas.workspace import open_workspace
from tests.plugin.installing import installed_plugin

DEVICE = "local-cpu/reference"


@pytest.fixture
def plugin(tmp_path):
    (tmp_path / "site-packages").mkdir()
    with installed_plugin(tmp_path / "site-packages") as folder:
        yield folder
    assert "reference" not in runtime_names()


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.usefixtures("supernet", "plugin")
def test_a_users_runtime_measures_searches_verifies_and_exports(hwnas, tmp_path):
    measured = hwnas.json("measure", "--device", DEVICE, "--count", 6)
    assert [row["failure"] for row in measured["measurements"]] == [None] * 6
    with open_workspace(Home(hwnas.home)) as workspace:
        stored = [one.outcome for one in workspace.store.measurements.of(DEVICE)]
    assert {one.artifact.name.partition(".")[2] for one in stored} == {"reference.onnx.z"}
    assert all(one.load_time_ms > 0 for one in stored)

    front = hwnas.json(
        "search", "--device", DEVICE, "--evaluations", 6, "--survey", 0, "--screen", 0, "--finish-epochs", 0
    )
    assert front["members"]
    for member in front["members"]:
        assert {"onnx", "weights", "manifest", "reference"} <= set(member["artifacts"])

    report = hwnas.json("export", front["front"], "--out", tmp_path / "exported")
    written = json.loads((tmp_path / "exported" / "front.json").read_text())
    (first, *_) = written["members"]
    assert first["artifacts"]["reference"].endswith("model.reference.onnx.z")
    manifest = json.loads((tmp_path / "exported" / first["artifacts"]["manifest"]).read_text())
    assert manifest["versions"]["reference"].endswith("+1")
    exported = Front.from_bytes((tmp_path / "exported" / "front.json").read_bytes())
    assert check_export(exported, tmp_path / "exported") == report["files_checked"]
