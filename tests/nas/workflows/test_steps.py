"""Each step from the command line on real images, compilers, runtimes, files and HTTP."""

import json
import shutil

import httpx
import numpy as np
import onnxruntime
import pytest

from hw_profiles.detect import detect_profiles
from hw_profiles.network_files import NetworkFiles
from hw_profiles.runtimes.registry import get_runtime
from nas.cli.service_query import ask_front, running_service
from nas.fronts.device_fronts import DeviceFronts
from nas.fronts.front import Front
from nas.fronts.manifest import ManifestError, feed
from nas.home import Home, sha256_of
from nas.workflows.exporting import ExportCheckError, check_export
from nas.workspace import open_workspace
from tests.nas.workflows.conftest import SEARCH

MEMBER_KEYS = {
    "candidate",
    "summary",
    "precision",
    "size_bytes",
    "latency_p50_ms",
    "latency_p95_ms",
    "accuracy_val",
    "accuracy_test",
    "accuracy",
    "metrics",
    "quality",
    "artifacts",
}


def measured_candidates(home, device):
    with open_workspace(Home(home)) as workspace:
        return [stored.outcome.candidate_id for stored in workspace.store.measurements.of(device)]


def test_training_again_finds_the_finished_supernet(hwnas, supernet, small_data):
    again = hwnas.json("train", "--data", f"npz:{small_data}", "--epochs", 1, "--batch-size", 32)
    assert again == supernet


@pytest.mark.usefixtures("supernet")
@pytest.mark.parametrize("device", ["local-cpu/onnxruntime", "local-cpu/tvm"])
def test_measuring_and_fitting(hwnas, device):
    first = hwnas.json("measure", "--device", device, "--count", 8)
    before = measured_candidates(hwnas.home, device)
    again = hwnas.json("measure", "--device", device, "--count", 8)
    assert first["measurements"] == again["measurements"]
    assert measured_candidates(hwnas.home, device) == before
    assert [row["failure"] for row in first["measurements"]] == [None] * 8
    assert {row["precision"] for row in first["measurements"][:4]} == {"fp32", "int8"}
    fitted = hwnas.json("fit", "--device", device)
    assert fitted["latency"]["n"] >= 8
    assert (Home(hwnas.home).predictors / fitted["latency"]["revision"]).is_dir()


def test_a_front_follows_the_contract(searched):
    assert searched["schema"] == "hwnas.front/1"
    assert searched["evaluations"] == 8
    assert {"largest_fp32", "largest_int8", "random"} == set(searched["baselines"])
    for member in searched["members"]:
        assert set(member) == MEMBER_KEYS
        low, high = member["latency_p50_ms"]["interval_90"]
        assert 0 < low <= member["latency_p50_ms"]["predicted"] <= high
        assert member["latency_p50_ms"]["measured"] > 0
        assert 0 <= member["accuracy_test"] <= 1
    latencies = [member["latency_p50_ms"]["measured"] for member in searched["members"]]
    accuracies = [member["accuracy"]["expected"] for member in searched["members"]]
    assert latencies == sorted(latencies)
    assert accuracies == sorted(accuracies)


def test_the_same_search_again_is_the_same_front_and_evaluates_nothing(hwnas, searched):
    before = measured_candidates(hwnas.home, "local-cpu/onnxruntime")
    again = hwnas.json(*SEARCH, "--evaluations", 8)
    assert again == searched
    assert measured_candidates(hwnas.home, "local-cpu/onnxruntime") == before


def test_a_deleted_cache_and_a_moved_home_cost_time_alone(hwnas, searched, monkeypatch, tmp_path):
    """The corners are measured already: a search of them alone evaluates nothing and verifies from new files."""
    assert searched["members"]
    moved = tmp_path / "moved"
    shutil.copytree(hwnas.home, moved, ignore=shutil.ignore_patterns("cache"))
    monkeypatch.setenv("HWNAS_HOME", str(moved))
    front = hwnas.json("search", "--evaluations", 5, "--survey", 0, "--screen", 0, "--finish-epochs", 0)
    found = {member["candidate"] for member in front["members"]}
    assert found
    with open_workspace(Home(moved)) as workspace:
        profile = workspace.profile("local-cpu/tvm")
        libraries = {path.name for path in workspace.measuring_folder(profile).rglob("*.tvm.so")}
    assert {f"{candidate}.tvm.so" for candidate in found} <= libraries


def test_a_search_without_finishing_is_the_one_before_networks_were_finished(hwnas, searched):
    assert not any("accuracy_inherited_val" in member for member in searched["members"])
    (search,) = [one for one in hwnas.json("search", "list") if one["front"] == searched["front"]]
    assert "finish_epochs" not in search["request"]
    assert hwnas.json("search", "resume", search["id"]) == searched


def test_exported_models_work_without_hwnas(hwnas, searched, small_data, tmp_path):
    report = hwnas.json("export", searched["front"][:12], "--out", tmp_path)
    front = json.loads((tmp_path / "front.json").read_text())
    members = {member["candidate"] for member in front["members"]}
    beside = {front["baselines"][name]["candidate"] for name in ("largest_fp32", "largest_int8")} - members
    # A baseline that is no member does not ship: it has no file of another runtime.
    assert report["files_checked"] == 4 * len(members) + 3 * len(beside)
    assert (tmp_path / "front.png").stat().st_size > 10_000
    data = np.load(small_data)
    for member in front["members"]:
        files = {kind: tmp_path / path for kind, path in member["artifacts"].items()}
        manifest = json.loads(files["manifest"].read_text())
        assert manifest["candidate"] == member["candidate"]
        assert {kind: sha256_of(files[kind]) for kind in ("onnx", "tvm", "weights")} == manifest["hashes"]
        session = onnxruntime.InferenceSession(files["onnx"])
        images = feed(manifest, data["x_test"])
        name = manifest["input"]["name"]
        guesses = [int(session.run(None, {name: image[None]})[0].argmax()) for image in images]
        assert np.mean(np.array(guesses) == data["y_test"]) == pytest.approx(member["accuracy_test"])


def test_an_exported_library_of_another_network_is_seen(hwnas, searched, tmp_path):
    hwnas.json("export", searched["front"], "--out", tmp_path / "right")
    # A copy: the libraries of the first folder are loaded already.
    folder = shutil.copytree(tmp_path / "right", tmp_path / "wrong")
    front = Front.from_bytes((folder / "front.json").read_bytes())
    members = {member.candidate: member for member in (*front.members, *front.baselines.members)}.values()
    right, wrong = list(members)[:2]
    tvm, profile = get_runtime("tvm"), next(one for one in detect_profiles() if one.runtime == "tvm")
    # A baseline that is no member has no library, so it is compiled here.
    files = NetworkFiles(name="wrong", onnx=folder / wrong.artifacts["onnx"], reference=tmp_path / "none.npz")
    shutil.copy(tvm.compile(files, profile, tmp_path), folder / right.artifacts["tvm"])
    with pytest.raises(ManifestError, match="not the file that its manifest describes"):
        check_export(front, folder)
    manifest_file = folder / right.artifacts["manifest"]
    manifest = json.loads(manifest_file.read_text())
    manifest["hashes"]["tvm"] = sha256_of(folder / right.artifacts["tvm"])
    manifest_file.write_text(json.dumps(manifest))
    with pytest.raises(ExportCheckError, match="the tvm file of candidate"):
        check_export(front, folder)


def test_the_front_file_is_what_is_stored(hwnas, searched, tmp_path):
    listed = hwnas.json("front", "list")
    assert listed[0]["id"] == searched["front"]
    shown = hwnas.json("front", "show", searched["front"][:8])
    assert shown["members"] == searched["members"]
    code, out, _ = hwnas("front", "show", searched["front"][:8])
    assert code == 0
    assert searched["members"][0]["candidate"][:12] in out
    hwnas.json("front", "export", searched["front"], "--out", tmp_path / "f.json")
    written = json.loads((tmp_path / "f.json").read_text())
    assert [m["candidate"] for m in written["members"]] == [m["candidate"] for m in searched["members"]]


def test_http_answers_are_the_stored_front(hwnas, searched):
    with running_service() as address:
        whole = httpx.get(f"{address}/v1/devices/local-cpu/onnxruntime/pareto", params={"space": searched["space"]})
        limit_ms = searched["members"][0]["latency_p95_ms"]["measured"] * 1.001
        _, within = ask_front(address, "local-cpu/onnxruntime", searched["space"], limit_ms)
    with open_workspace(Home(hwnas.home)) as workspace:
        merged = DeviceFronts(workspace.store).merged("local-cpu/onnxruntime", space=searched["space"])
    assert whole.content == merged.body
    assert searched["front"] in merged.fronts
    assert all(member["latency_p95_ms"]["measured"] <= limit_ms for member in within["members"])
    assert within["members"]


@pytest.mark.usefixtures("supernet")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("measure", "--device", "my-phone/tvm"), "local-cpu/tvm"),
        (("search", "--supernet", "zz"), "not a supernet id"),
        (("search", "--min-accuracy", "nan"), "min_accuracy"),
        (("front", "show", "abcdef"), "unknown front"),
        (("train", "--data", "imagenet"), "fashion-mini"),
        (("train", "--data", "npz:/does/not/exist.npz"), "exist.npz"),
        (("train", "--space", "resnet"), "mobilenet_v3:tiny"),
        (("train", "--space", "mobilenet_v3:imagenet"), "64 pixels"),
    ],
)
def test_wrong_requests_end_in_one_sentence_and_code_2(hwnas, arguments, words):
    code, out, err = hwnas(*arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_a_damaged_supernet_says_what_to_do(hwnas, small_data, tmp_path, monkeypatch):
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path))
    trained = hwnas.json("train", "--data", f"npz:{small_data}", "--epochs", 1, "--batch-size", 150, "--threads", 1)
    (weights,) = tmp_path.glob("supernets/*/weights.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    code, _, err = hwnas("measure", "--supernet", trained["supernet"][:8], "--count", 4)
    assert code == 1
    assert "damaged" in err
    assert "train again" in err


def test_limits_hold_for_every_member_or_the_nearest_point_is_said(hwnas, searched):
    fastest = searched["members"][0]["latency_p95_ms"]["measured"]
    slowest = searched["baselines"]["largest_int8"]["latency_p95_ms"]["measured"]
    limit_ms = (fastest * slowest) ** 0.5
    common = (*SEARCH, "--evaluations", 8)
    front = hwnas.json(*common, "--max-latency-p95-ms", limit_ms)
    assert front["members"]
    assert all(member["latency_p95_ms"]["measured"] <= limit_ms for member in front["members"])
    code, _, err = hwnas(*common, "--max-latency-p95-ms", fastest / 100)
    assert code == 1
    assert "the nearest has latency_p95_ms" in err
