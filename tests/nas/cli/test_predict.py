"""``hwnas predict`` on a stored predictor."""

import io
import json

import numpy as np
import pytest

from nas.home import Home
from nas.workspace import open_workspace
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec
from tests.nas.cli.conftest import CommandLine
from tests.nas.predictors_at_hand import put_latency_predictor
from tests.nas.store.rows import SPACE, put_device

DEVICE = "board/tvm"
OTHER_TASK = get_space(SPACE.name, TaskSpec.image_classification(channels=3, height=32, width=32, classes=5))
ROWS = SPACE.sample(3, np.random.default_rng(5))
TEXTS = SPACE.to_strings(ROWS)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predicted")
    with open_workspace(Home(folder)) as workspace:
        put_latency_predictor(workspace.home, workspace.store, DEVICE)
        put_device(workspace.store, "bare/tvm")
        workspace.store.candidates.put(SPACE, ROWS)
        workspace.store.candidates.put(OTHER_TASK, ROWS)
        workspace.store.candidates.put(get_space("fbnet"), get_space("fbnet").smallest()[None])
    return folder


@pytest.fixture
def hwnas(home, monkeypatch, capsys):
    monkeypatch.setenv("HWNAS_HOME", str(home))
    return CommandLine(home, capsys)


def test_strings_and_ids_get_the_predictors_answer(hwnas):
    ids = [SPACE.candidate(row).id for row in ROWS]
    by_text = hwnas.json("predict", DEVICE, *TEXTS, "--space", SPACE.name)
    by_id = hwnas.json("predict", DEVICE, ids[0], ids[1][:12], ids[2][:8])
    assert by_text == by_id
    assert [one["candidate"] for one in by_text["predictions"]] == ids
    assert [one["arch"] for one in by_text["predictions"]] == TEXTS
    with open_workspace(Home(hwnas.home)) as workspace:
        revision, predictor = put_latency_predictor(workspace.home, workspace.store, DEVICE)
    expected = predictor.predict(ROWS)
    assert by_text["predictor"] == revision
    assert not by_text["stale"]
    assert by_text["expected_mape_pct"] == pytest.approx(predictor.expected_mape_pct)
    assert by_text["samples"] == 20
    assert by_text["held_out"] == pytest.approx(predictor.held_out.as_json())
    assert [one["predicted"] for one in by_text["predictions"]] == pytest.approx(expected.value.tolist())
    assert [one["interval_90"][1] for one in by_text["predictions"]] == pytest.approx(expected.high.tolist())
    assert [one["outside"] for one in by_text["predictions"]] == predictor.outside(ROWS).tolist()


def test_many_come_from_a_file_or_standard_input(hwnas, tmp_path, monkeypatch):
    (tmp_path / "many.txt").write_text("\n".join([*TEXTS, "", *TEXTS]) + "\n")
    by_file = hwnas.json("predict", DEVICE, "--file", tmp_path / "many.txt")
    assert len(by_file["predictions"]) == 6
    monkeypatch.setattr("sys.stdin", io.StringIO((tmp_path / "many.txt").read_text()))
    assert hwnas.json("predict", DEVICE) == by_file


def test_the_table_names_the_revision(hwnas):
    code, out, _ = hwnas("predict", DEVICE, TEXTS[0])
    assert code == 0
    assert "90 % interval" in out
    with open_workspace(Home(hwnas.home)) as workspace:
        _, predictor = put_latency_predictor(workspace.home, workspace.store, DEVICE)
    assert f"20 measurements; expected error on new networks {predictor.expected_mape_pct:.1f} %, cross-valid" in out
    assert f"which were chosen to differ and are harder, {predictor.held_out.mape_pct:.1f} %." in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("phone", TEXTS[0]), "unknown device 'phone'"),
        (("bare/tvm", TEXTS[0]), "no latency predictor yet; run `hwnas calibrate bare/tvm --space SPACE` on its"),
        ((DEVICE, TEXTS[0], "--space", "fbnet"), "no latency predictor in fbnet"),
        (("local-cpu/tvm", TEXTS[0]), "run `hwnas calibrate local-cpu/tvm --space SPACE` first"),
        (("local-cpu/tvm", TEXTS[0], "--space", "fbnet"), "run `hwnas calibrate local-cpu/tvm --space fbnet` first"),
        (("phone", TEXTS[0]), "known: bare/tvm, board/tvm, local-cpu/onnxruntime, local-cpu/tvm"),
        ((DEVICE, TEXTS[0], "--space", "resnet"), "unknown search space"),
        ((DEVICE, TEXTS[0], get_space("mnasnet").to_string(get_space("mnasnet").smallest())), "candidate 2: "),
        ((DEVICE, get_space("fbnet").to_string(get_space("fbnet").smallest())), "candidate 1: "),
        ((DEVICE, "nonsense"), "candidate 1: 'nonsense'"),
        ((DEVICE, "ffffff"), "no stored candidate begins"),
        ((DEVICE, OTHER_TASK.candidate(ROWS[0]).id), "other images or classes"),
        ((DEVICE, get_space("fbnet").candidate(get_space("fbnet").smallest()).id), "is of the space fbnet"),
        ((DEVICE, TEXTS[0], "--file", "x.txt"), "use only one"),
        ((DEVICE, "--file", "missing.txt"), "missing.txt"),
    ],
)
def test_what_cannot_be_predicted_is_said(hwnas, arguments, words):
    assert words in hwnas.refused("predict", *arguments)


def test_nothing_is_said_to_be_nothing(hwnas, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert "no candidates given" in hwnas.refused("predict", DEVICE)


def test_a_damaged_revision_says_what_to_do(hwnas, tmp_path, monkeypatch):
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path))
    with open_workspace(Home(tmp_path)) as workspace:
        revision, _ = put_latency_predictor(workspace.home, workspace.store, DEVICE)
    document = tmp_path / "predictors" / revision / "revision.json"
    changed = json.loads(document.read_text()) | {"schema_hash": "0" * 64}
    document.write_text(json.dumps(changed))
    code, _, err = hwnas("predict", DEVICE, TEXTS[0])
    assert code == 1
    assert "hwnas calibrate" in err
    document.unlink()
    code, _, err = hwnas("predict", DEVICE, TEXTS[0])
    assert code == 1
    assert "hwnas calibrate" in err
