"""The whole quickstart, as a new user runs it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from hw_profiles.detect import detect_profiles
from hw_profiles.runtimes.registry import get_runtime
from nas.data.sources import load_dataset
from nas.fronts.front import Front, dominated_by
from nas.fronts.manifest import feed, read_manifest

PROFILES = ("local-cpu-onnxruntime", "local-cpu-tvm")


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """The folder and the JSON report that a quickstart leaves."""
    home = tmp_path_factory.mktemp("home")
    done = subprocess.run(
        [sys.executable, "-m", "nas.cli", "quickstart", "--out", str(home / "out"), "--json"],
        env=os.environ | {"HWNAS_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return home / "out", json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("profile", PROFILES)
def test_each_front_follows_the_contract(left, profile):
    folder, _ = left
    front = Front.from_bytes((folder / f"front-{profile}.json").read_bytes())
    assert front.baselines is not None
    assert len(front.members) >= 3
    for member in front.members:
        low, high = member.latency_p50_ms.interval_90
        assert 0 < low < high
    for suffix in ("png", "html"):
        assert (folder / f"front-{profile}.{suffix}").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_some_front_dominates_the_largest_network_in_int8(left):
    folder, _ = left
    fronts = [Front.from_bytes((folder / f"front-{profile}.json").read_bytes()) for profile in PROFILES]
    assert any(dominated_by([front.baselines.largest_int8], front.members).all() for front in fronts)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("profile", PROFILES)
def test_each_model_has_the_stated_test_accuracy(left, profile):
    """The artifact of the front's own runtime, fed as its manifest says."""
    folder, _ = left
    data = load_dataset("fashion-mini")
    front = Front.from_bytes((folder / f"front-{profile}.json").read_bytes())
    device = next(one for one in detect_profiles() if one.id == front.device)
    runtime = get_runtime(device.runtime)
    for member in front.members:
        manifest = read_manifest(folder / member.artifacts["manifest"])
        artifact = runtime.load(folder / member.artifacts[runtime.artifact_kind], device)
        images = feed(manifest, data.x_test)
        classes = np.array([artifact.run(image[None])[0].argmax() for image in images])
        assert np.mean(classes == data.y_test) == pytest.approx(member.accuracy_test)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_service_answered_within_the_limit(left):
    _, report = left
    answer = report["http"]["answer"]
    assert answer["schema"] == "hwnas.front/1"
    assert answer["members"]
    assert set(report["seconds"]) >= {"train the supernet", "answer over HTTP"}
