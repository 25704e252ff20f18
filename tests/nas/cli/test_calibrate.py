"""``hwnas calibrate`` on this machine's processor: real networks, compilers and timings."""

import dataclasses
import json
import re

import numpy as np
import pytest

from hw_profiles.detect import detect_profiles
from hw_profiles.measurement_table import MeasurementTable
from nas.cli.calibrate import report_lines
from nas.cli.main import run
from nas.home import Home
from nas.jobs.queue import JobQueue
from nas.jobs.worker import WorkerSettings, run_worker
from nas.measuring.drift import DriftCheck
from nas.workflows.calibrating import CalibrationReport
from nas.workflows.job_handlers import job_handlers
from nas.workflows.known_devices import KnownDevices
from nas.workflows.predictor_revisions import load_latency
from nas.workspace import open_workspace
from predictors.calibration import CalibrationSettings, TargetDevice, calibrate
from search_spaces.registry import get_space
from tests.nas.cli.conftest import CommandLine
from tests.nas.store.rows import measurement
from tests.predictors.synthetic import device_latency_ms

SPACE = get_space("mobilenet_v3:tiny")
DEVICE = "local-cpu/onnxruntime"
ARGUMENTS = ("calibrate", DEVICE, "--space", SPACE.name, "--budget", 6)


def recorded_table():
    """Two recorded devices, and one that always took the same."""
    rng = np.random.default_rng(0)
    rows = np.unique(SPACE.sample(60, rng), axis=0)
    columns = {
        name: device_latency_ms(SPACE, rows, rng, integer_speedup=speedup) for name, speedup in (("a", 1.0), ("b", 3.0))
    }
    return MeasurementTable(
        space=SPACE.name,
        archs=tuple(SPACE.to_strings(rows)),
        latency_ms=columns | {"flat": np.full(len(rows), 2.0)},
        accuracy={},
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with recorded devices."""
    folder = tmp_path_factory.mktemp("calibrated")
    recorded_table().save(folder / "recorded.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWNAS_HOME", str(folder))
        assert run(["measurements", "import", str(folder / "recorded.csv")]) == 0
    return folder


@pytest.fixture
def hwnas(home, monkeypatch, capsys):
    monkeypatch.setenv("HWNAS_HOME", str(home))
    return CommandLine(home, capsys)


@pytest.fixture
def calibrated(hwnas):
    """The first calibration's report; whoever asks first runs it."""
    report = hwnas.home / "report.json"
    if not report.exists():
        code, out, err = hwnas(*ARGUMENTS, "--json")
        assert code == 0, err
        report.write_text(out)
    return json.loads(report.read_text())


def stored_numbers(home):
    with open_workspace(Home(home)) as workspace:
        return [stored.number for stored in workspace.store.measurements.of(DEVICE)]


def test_a_device_is_calibrated_from_few_measurements(hwnas, calibrated):
    assert (calibrated["measured"], calibrated["failed"], calibrated["stopped"]) == (6, 0, "budget")
    assert [source["name"] for source in calibrated["sources"]] == ["a", "b"]
    assert ["'flat'" in sentence for sentence in calibrated["left_out"]] == [True]
    assert calibrated["expected_mape_pct"] > 0
    assert calibrated["drift"] is None
    for path in calibrated["plots"]:
        assert (hwnas.home / path).read_bytes()[1:4] == b"PNG"
    with open_workspace(Home(hwnas.home)) as workspace:
        stored = workspace.store.predictors.get(calibrated["predictor"])
        predictor = load_latency(workspace.home, stored)
        measured = workspace.store.measurements.of(DEVICE)
    assert stored.profile_id == DEVICE
    assert stored.metrics["provenance"]["samples"] == 6
    assert predictor.expected_mape_pct == pytest.approx(calibrated["expected_mape_pct"])
    assert {outcome.supernet_id for outcome in measured} == {None}
    ends = predictor.predict(np.stack([SPACE.smallest(), SPACE.largest()])).value
    assert ends[0] < ends[1]


def test_measured_networks_are_not_measured_again_and_the_device_is_looked_at(hwnas, calibrated):
    for _ in range(3):
        again = hwnas.json(*ARGUMENTS)
        if not again["drift"]["drifted"]:  # beside other tests a device may really have become slower
            break
    assert (again["measured"], again["reused"], again["samples"]) == (0, 6, 6)
    assert again["drift"]["checked"] == 3
    assert again["sources"] == calibrated["sources"]


def test_a_job_runs_the_same_calibration(hwnas, calibrated):
    request = {
        "device": DEVICE,
        "space": SPACE.name,
        "budget": 6,
        "target_mape_pct": None,
        "sources": ["a", "b"],
        "seed": 0,
    }
    with open_workspace(Home(hwnas.home)) as workspace:
        queue = JobQueue(workspace.store)
        job = queue.enqueue("calibration", request)
        wrong = queue.enqueue("calibration", request | {"device": "phone"})
        assert run_worker(workspace.store, job_handlers(workspace), WorkerSettings(until_idle=True)) == 2
        job, wrong = queue.get(job.id), queue.get(wrong.id)
        assert job.state == "succeeded", job.error
        stored = workspace.store.predictors.get(job.result["latency_predictor"])
    assert stored.profile_id == DEVICE
    assert [source["name"] for source in job.result["sources"]] == ["a", "b"]
    assert job.result["samples"] >= calibrated["samples"]
    assert (job.progress["done"], job.progress["total"]) == (6, 6)
    assert "accuracy_predictor" not in job.result
    assert (wrong.state, wrong.error["code"]) == ("failed", "usage")


@pytest.mark.slow
@pytest.mark.usefixtures("calibrated")
def test_a_drifted_device_is_calibrated_anew(hwnas):
    profile = next(profile for profile in detect_profiles() if profile.id == DEVICE)
    own = {"profile_id": profile.id, "fingerprint": profile.fingerprint}
    with open_workspace(Home(hwnas.home)) as workspace:
        store = workspace.store
        known = {stored.outcome.candidate_id for stored in store.measurements.of(DEVICE)}
        for candidate_id in sorted(known) * 3:
            store.measurements.add(dataclasses.replace(measurement(candidate_id, 700.0, 800.0), **own))
    last = stored_numbers(hwnas.home)[-1]
    code, out, err = hwnas(*ARGUMENTS, "--sources", "none")
    assert code == 0
    assert "has drifted" in err
    assert "no other device is used as a source" in err
    assert "needs recalibration" in err
    assert "drifted: 3 networks" in out
    assert "0 measured now" not in out
    total, chosen, failed, others = map(
        int,
        re.search(
            r"(\d+) measurements: (\d+) networks chosen .*, (\d+) of them failed, and (\d+) others?", out
        ).groups(),
    )
    assert total == chosen - failed + others
    assert 1 <= others <= 3
    assert "measured by the drift check" in out
    assert len(stored_numbers(hwnas.home)) > last
    with open_workspace(Home(hwnas.home)) as workspace:
        newest = workspace.store.predictors.latest(kind="latency", space=SPACE.name, profile_id=DEVICE)
        assert newest is not None
        assert load_latency(workspace.home, newest).predict(SPACE.largest()[None]).value[0] < 100


@pytest.mark.parametrize(
    ("drift", "others"),
    [
        (None, "and 3 others measured earlier; stopped"),
        (DriftCheck(checked=3, change_pct=1.0, allowed_pct=5.0), "and 3 others measured earlier; stopped"),
        (
            DriftCheck(checked=3, change_pct=9.0, allowed_pct=5.0),
            "and 3 others measured by the drift check; stopped",
        ),
    ],
)
def test_the_printed_counts_add_up(drift, others):
    def measure(rows):
        values = device_latency_ms(SPACE, rows, np.random.default_rng(1))
        values[:1] = np.nan
        return values

    rows = np.unique(SPACE.sample(80, np.random.default_rng(2)), axis=0)
    pool, known = rows[3:], rows[:3]
    known_ms = device_latency_ms(SPACE, known, np.random.default_rng(1))
    found = calibrate(
        SPACE, pool, TargetDevice(measure=measure, known=(known, known_ms)), CalibrationSettings(budget=8, seed=0)
    )
    report = CalibrationReport(
        device=DEVICE,
        space=SPACE.name,
        task=SPACE.task.as_json(),
        revision="0" * 64,
        calibration=found,
        known=KnownDevices(devices=(), left_out=()),
        drift=drift,
        measured=6,
        reused=2,
        failed=1,
        plots=(),
    )
    first = report_lines(report)[0]
    counts = "10 measurements: 8 networks chosen (6 measured now, 2 known already), 1 of them failed, "
    assert counts + others in first


def test_the_budget_names_the_check_for_drift(hwnas):
    code, out, _ = hwnas("calibrate", "--help")
    assert code == 0
    assert "may add up to three" in " ".join(out.replace("│", " ").split())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"device": "phone"}, "cannot be measured here"),
        ({"device": "a"}, "cannot be measured here"),
        ({"space": "nasbench201", "budget": 5425}, "larger than the 5424 networks"),
        ({"space": "resnet"}, "unknown search space"),
        ({"budget": 4}, "a budget of 4 measurements is too small"),
        ({"budget": 100_000}, "larger than the"),
        ({"target-mape": 0}, "--target-mape"),
        ({"target-mape": "nan"}, "--target-mape"),
        ({"precision": "int4"}, "--precision"),
        ({"sources": ""}, "--sources is empty"),
        ({"sources": "a,nobody"}, "unknown device with measurements of mobilenet_v3:tiny 'nobody'; known: a, b, flat"),
        ({"sources": "flat"}, "source 'flat': all"),
        ({"sources": DEVICE}, "own calibration"),
        ({"seed": -1}, "seed"),
        ({"supernet": "abcd"}, "unknown supernet"),
    ],
)
def test_what_cannot_be_calibrated_is_said(hwnas, change, words):
    options = {"device": DEVICE, "space": SPACE.name, "budget": 6} | change
    device = options.pop("device")
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    assert words in hwnas.refused("calibrate", device, *arguments)
