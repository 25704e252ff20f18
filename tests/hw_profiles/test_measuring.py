import contextlib
import dataclasses
import os
import signal
import threading

import numpy as np
import pytest

from hw_profiles.agreement import read_reference
from hw_profiles.bench import CompiledNetwork
from hw_profiles.detect import resolve_profile
from hw_profiles.errors import MeasuringError
from hw_profiles.local_bench import LocalBench
from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.measuring import MeasuringSession
from hw_profiles.measuring_settings import MeasuringSettings
from hw_profiles.onnx_graph import graph_outputs

PROFILE = resolve_profile("local-cpu/onnxruntime")
QUICK = MeasuringSettings(rounds=3, round_ms=2.0, warmup_ms=1.0, recheck_every=0)


@contextlib.contextmanager
def measuring(anchor, folder, settings=QUICK, *, reference_ms=None, profile=PROFILE):
    """A started session and its bench."""
    with LocalBench(profile, folder, settings) as bench:
        session = MeasuringSession(bench, anchor, anchor_reference_ms=reference_ms)
        session.start()
        yield session, bench


@pytest.fixture(scope="module")
def session(anchor, tmp_path_factory):
    with measuring(anchor, tmp_path_factory.mktemp("session")) as (started, _):
        yield started


def test_a_measurement_says_all_about_itself(session, network):
    measured = session.measure(network)
    assert isinstance(measured, Measurement)
    assert measured.candidate_id == network.name
    assert (measured.profile_id, measured.fingerprint) == (PROFILE.id, PROFILE.fingerprint)
    assert 0 < measured.latency_p50_ms <= measured.latency_p95_ms
    assert len(measured.samples_ms) >= QUICK.rounds * QUICK.min_calls
    assert measured.size_bytes == measured.artifact.stat().st_size
    assert measured.max_abs_error < 1e-5
    assert measured.top1_agreement == 1.0
    assert 1 <= measured.attempts <= QUICK.max_attempts


def test_an_artifact_is_measured_without_compiling(session, network):
    first = session.measure(network)
    again = session.measure(network, artifact=first.artifact)
    assert again.artifact_sha256 == first.artifact_sha256
    assert again.compile_s == 0.0


def test_an_artifact_classifies_images_as_its_graph_does(session, network):
    images, _ = read_reference(network)
    one = CompiledNetwork(files=network, artifact=session.measure(network).artifact)
    expected = graph_outputs(network.onnx, images).argmax(axis=1).tolist()
    assert [classes.tolist() for classes in session.classify([one, one], [images[:1], images[1:]])] == [expected] * 2


def test_artifacts_that_cannot_classify_fail_each_for_itself(session, network, tmp_path):
    one = CompiledNetwork(files=network, artifact=session.measure(network).artifact)
    gone = CompiledNetwork(files=network, artifact=tmp_path / "gone")
    images, _ = read_reference(network)
    failures = session.classify([one, gone], [np.zeros((1, 7, 5, 5), np.float32), images])
    assert [type(failure) for failure in failures] == [MeasurementFailure] * 2
    assert failures[0].stage == "run"


def test_quantized_networks_are_measured(session, quantized_network):
    assert isinstance(session.measure(quantized_network), Measurement)


def test_a_later_session_can_keep_the_reference(session, anchor, network, tmp_path):
    reference_ms = session.anchor_reference_ms
    with measuring(anchor, tmp_path, reference_ms=2 * reference_ms) as (later, _):
        assert later.anchor_reference_ms == 2 * reference_ms
        measured = later.measure(network)
    # Readings are scaled to the reference, whatever the anchor takes today.
    raw_p50_ms = float(np.median(measured.samples_ms))
    assert measured.anchor_factor > 1.0
    assert measured.latency_p50_ms > raw_p50_ms


def _failure(session, files, stage, message):
    failed = session.measure(files)
    assert isinstance(failed, MeasurementFailure)
    assert failed.candidate_id == files.name
    assert (failed.stage, message in failed.message) == (stage, True), failed


def test_a_corrupt_network_fails_and_the_next_is_measured(session, network, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"\x00not onnx")
    _failure(session, dataclasses.replace(network, onnx=tmp_path / "bad.onnx"), "compile", "cannot load bad")
    assert isinstance(session.measure(network), Measurement)


def test_a_missing_network_fails(session, network, tmp_path):
    _failure(session, dataclasses.replace(network, onnx=tmp_path / "none.onnx"), "compile", "none.onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images, outputs: (images, outputs + 0.5), "differs from PyTorch"),
        (lambda images, outputs: (images, outputs[:, :-1]), "expected (4, 9)"),
        (lambda images, outputs: (images[:1], outputs), "with k >= 1 are needed"),
        (lambda images, outputs: (images, outputs * np.nan), "NaN"),
    ],
)
def test_a_wrong_reference_fails_the_check(session, network, tmp_path, change, message):
    with np.load(network.reference) as arrays:
        images, outputs = change(arrays["input"], arrays["output"])
    np.savez(tmp_path / "wrong.npz", input=images, output=outputs)
    _failure(session, dataclasses.replace(network, reference=tmp_path / "wrong.npz"), "check", message)


def test_an_unreadable_reference_fails_the_check(session, network, tmp_path):
    (tmp_path / "wrong.npz").write_bytes(b"PK not an archive")
    _failure(session, dataclasses.replace(network, reference=tmp_path / "wrong.npz"), "check", "cannot be read")


def test_too_little_top1_agreement_fails_the_check(session, network, tmp_path):
    with np.load(network.reference) as arrays:
        np.savez(tmp_path / "other.npz", input=arrays["input"], output=-arrays["output"])
    asked = dataclasses.replace(
        network, reference=tmp_path / "other.npz", relative_tolerance=10.0, min_top1_agreement=0.5
    )
    _failure(session, asked, "check", "50.0% is required")


def test_a_worker_killed_at_work_fails_one_candidate(anchor, network, tmp_path):
    long = dataclasses.replace(QUICK, round_ms=60_000.0, max_calls=10**8)
    with measuring(anchor, tmp_path, long, reference_ms=1.0) as (slow, bench):
        threading.Timer(0.3, os.kill, (bench.worker_pid, signal.SIGKILL)).start()
        _failure(slow, network, "crash", "SIGKILL")
        bench.settings = QUICK
        assert isinstance(slow.measure(network), Measurement)


def test_a_candidate_that_takes_too_long_fails(anchor, network, tmp_path):
    long = dataclasses.replace(QUICK, round_ms=60_000.0, max_calls=10**8, time_deadline_s=0.3)
    with measuring(anchor, tmp_path, long, reference_ms=1.0) as (slow, _):
        _failure(slow, network, "timeout", "time gave no result in 0.3 s")


def test_rechecks_in_a_fresh_worker_give_the_repeatability(anchor, network, tmp_path):
    settings = dataclasses.replace(QUICK, recheck_every=1)
    with measuring(anchor, tmp_path, settings) as (rechecking, bench):
        prior, worker = rechecking.repeatability, bench.worker_pid
        assert prior == pytest.approx(settings.prior_repeatability)
        rechecking.measure(network)
        measured = rechecking.measure(network)
        assert bench.worker_pid != worker
        assert measured.repeatability != prior


def test_a_reading_that_never_passes_is_noisy(anchor, network, tmp_path):
    strict = dataclasses.replace(QUICK, max_spread=0.0, max_attempts=2)
    with measuring(anchor, tmp_path, strict) as (hopeless, _):
        measured = hopeless.measure(network)
    assert (measured.quality, measured.attempts) == ("noisy", 2)


def test_an_anchor_that_fails_stops_the_session(anchor, tmp_path):
    broken = dataclasses.replace(anchor, onnx=tmp_path / "none.onnx")
    with (
        pytest.raises(MeasuringError, match=r"anchor network anchor fails on local-cpu/onnxruntime \(compile\)"),
        measuring(broken, tmp_path),
    ):
        pass


def test_tvm_measures_float_and_quantized_networks(anchor, network, quantized_network, tmp_path):
    profile = resolve_profile("local-cpu/tvm")
    with measuring(anchor, tmp_path, profile=profile) as (tvm, _):
        for files in (network, quantized_network):
            measured = tvm.measure(files)
            assert isinstance(measured, Measurement)
            assert measured.artifact.suffix == ".so"
        failed = tvm.measure(dataclasses.replace(network, onnx=tmp_path / "gone.onnx"))
        assert (failed.stage, "gone.onnx is gone" in failed.message) == ("compile", True)
