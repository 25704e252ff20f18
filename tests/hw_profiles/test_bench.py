"""What every bench must do, this machine's and an agent's: one suite over both."""

import dataclasses
import math

import numpy as np
import pytest

from api.server import running
from hw_profiles.agreement import Agreement, read_reference
from hw_profiles.bench import BenchFailure, Classes, CompiledNetwork, Rounds, Timing
from hw_profiles.detect import resolve_profile
from hw_profiles.errors import MeasuringError
from hw_profiles.local_bench import LocalBench
from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.measuring import MeasuringSession
from hw_profiles.measuring_settings import MeasuringSettings
from hw_profiles.onnx_graph import graph_outputs
from nas.home import Home
from nas.measuring.agent_bench import AgentBench
from nas.store import open_store
from nas.workspace import Workspace
from tests.agents import running_agent

QUICK = MeasuringSettings(rounds=3, round_ms=2.0, warmup_ms=1.0, recheck_every=0)


@pytest.fixture(scope="module")
def agent_workspace(tmp_path_factory):
    """A served store with an agent on loopback."""
    home = Home(tmp_path_factory.mktemp("home"))
    with open_store(home.root / "hwnas.db") as store:
        token = store.agents.create("phone").reveal()
        with running(store, home) as url, running_agent(url, token, home.root / "agent") as agent:
            agent.wait_for("is registered")
            yield Workspace(home, store)


@pytest.fixture(params=["local", "agent"])
def bench(request, tmp_path):
    if request.param == "local":
        made = LocalBench(resolve_profile("local-cpu/onnxruntime"), tmp_path, QUICK)
    else:
        workspace = request.getfixturevalue("agent_workspace")
        made = AgentBench(workspace, workspace.profile("phone/onnxruntime"), tmp_path, QUICK)
    with made as opened:
        yield opened


def compiled(bench, files):
    (artifact,) = bench.compile([files])
    return CompiledNetwork(files=files, artifact=artifact)


def test_networks_are_compiled_in_order_and_failures_are_values(bench, network, anchor, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"\x00not onnx")
    done = []
    batch = [network, dataclasses.replace(network, name="bad", onnx=tmp_path / "bad.onnx"), anchor]
    first, failed, last = bench.compile(batch, done.append)
    assert (first.is_file(), last.is_file()) == (True, True)
    assert (first.name, last.name) == ("network.onnxruntime.onnx", "anchor.onnxruntime.onnx")
    assert isinstance(failed, MeasurementFailure)
    assert (failed.stage, failed.candidate_id, failed.profile_id) == ("compile", "bad", bench.profile.id)
    assert done == [1, 2, 3]


def test_a_network_is_timed_beside_the_anchor_and_alone(bench, network, anchor):
    beside = bench.time(compiled(bench, network), compiled(bench, anchor))
    assert isinstance(beside, Timing)
    assert beside.agreement.top1_agreement == 1.0
    assert beside.load_time_ms > 0
    assert 1 <= len(beside.attempts) <= QUICK.max_attempts
    for rounds in beside.attempts:
        assert len(rounds.busy) == len(rounds.candidate_ms) == len(rounds.anchor_ms) == QUICK.rounds
        assert min(call for calls in rounds.candidate_ms for call in calls) > 0
    alone = bench.time(compiled(bench, network), fresh=True)
    assert {len(rounds.anchor_ms) for rounds in alone.attempts} == {0}


def test_a_quantized_network_is_checked_against_its_graph(bench, quantized_network):
    found = bench.check(compiled(bench, quantized_network))
    assert isinstance(found, Agreement)


def test_wrong_outputs_are_a_value_and_the_next_network_is_timed(bench, network, tmp_path):
    with np.load(network.reference) as arrays:
        np.savez(tmp_path / "wrong.npz", input=arrays["input"], output=arrays["output"] + 0.5)
    wrong = compiled(bench, dataclasses.replace(network, reference=tmp_path / "wrong.npz"))
    for failed in (bench.check(wrong), bench.time(wrong)):
        assert isinstance(failed, BenchFailure)
        assert (failed.stage, "differs from PyTorch" in failed.message) == ("check", True)
    assert isinstance(bench.time(compiled(bench, network)), Timing)


def test_images_are_classified_as_by_the_graph(bench, network, tmp_path):
    images, _ = read_reference(network)
    np.save(tmp_path / "images.npy", images)
    one = compiled(bench, network)
    expected = Classes(values=tuple(graph_outputs(network.onnx, images).argmax(axis=1).tolist()))
    assert bench.classify([one], tmp_path / "images.npy") == [expected]
    assert bench.classify([one, one, one], tmp_path / "images.npy") == [expected] * 3
    np.save(tmp_path / "other.npy", np.zeros((1, 7, 5, 5), np.float32))
    for failed in bench.classify([one], tmp_path / "other.npy") + bench.classify([one, one], tmp_path / "other.npy"):
        assert isinstance(failed, BenchFailure)
        assert failed.stage == "run"


def test_a_network_that_takes_too_long_is_a_value(bench, network):
    bench.settings = dataclasses.replace(QUICK, round_ms=60_000.0, max_calls=10**8, time_deadline_s=0.3)
    failed = bench.time(compiled(bench, network))
    assert isinstance(failed, BenchFailure)
    assert (failed.stage, "gave no result in 0.3 s" in failed.message) == ("timeout", True)


def test_an_artifact_that_is_gone_is_a_value(bench, network):
    gone = compiled(bench, network)
    gone.artifact.unlink()
    failed = bench.time(gone)
    assert isinstance(failed, BenchFailure)
    assert failed.stage == "run"


def test_a_session_measures_on_it(bench, anchor, network):
    session = MeasuringSession(bench, anchor)
    session.start()
    measured = session.measure(network)
    assert isinstance(measured, Measurement)
    assert (measured.profile_id, measured.fingerprint) == (bench.profile.id, bench.profile.fingerprint)
    assert measured.size_bytes == measured.artifact.stat().st_size
    assert 0 < measured.latency_p50_ms <= measured.latency_p95_ms
    assert session.anchor_is_whole


def test_tvm_is_compiled_here_for_an_agents_device(agent_workspace, network, tmp_path):
    with AgentBench(agent_workspace, agent_workspace.profile("phone/tvm"), tmp_path, QUICK) as bench:
        library = compiled(bench, network)
        assert library.artifact.suffix == ".so"
        assert isinstance(bench.time(library), Timing)


@pytest.mark.parametrize("values", [None, [-1], [True], [1.0], "12"])
def test_impossible_classes_are_refused(values):
    with pytest.raises(MeasuringError):
        Classes.from_json({"values": values})


@pytest.mark.parametrize(
    "change",
    [
        {"busy": [1.0]},
        {"candidate_ms": [[1.0], []]},
        {"candidate_ms": [[1.0], [-1.0]]},
        {"candidate_ms": [[1.0], [math.nan]]},
        {"anchor_ms": [[1.0]]},
        {"busy": [1.0, math.inf]},
        {"candidate_ms": "12"},
        {"candidate_ms": None},
    ],
)
def test_impossible_samples_are_refused(change):
    whole = {"candidate_ms": [[1.0], [1.0, 2.0]], "anchor_ms": [], "busy": [1.0, 1.0]}
    assert Rounds.from_json(whole).busy == (1.0, 1.0)
    with pytest.raises(MeasuringError):
        Rounds.from_json(whole | change)
