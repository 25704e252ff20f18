import dataclasses
import os
import signal
import threading

import pytest

from hw_profiles.compiling import CompilePool
from hw_profiles.detect import detect_profiles
from hw_profiles.measurement import MeasurementFailure


@pytest.fixture(params=[profile.runtime for profile in detect_profiles()])
def profile(request):
    return next(profile for profile in detect_profiles() if profile.runtime == request.param)


@pytest.fixture
def corrupt(network, tmp_path):
    onnx = tmp_path / "corrupt.onnx"
    onnx.write_bytes(b"not a network")
    return dataclasses.replace(network, name="corrupt", onnx=onnx)


def test_artifacts_come_in_the_batchs_order(profile, anchor, network, quantized_network, tmp_path):
    batch = [network, quantized_network, anchor]
    heard = []
    with CompilePool(profile, tmp_path, workers=2) as pool:
        outcomes = pool.compile(batch, heard.append)
    assert all(outcome.is_file() for outcome in outcomes)
    assert len(set(outcomes)) == 3
    assert heard == [1, 2, 3]
    assert [files.name in str(path) for files, path in zip(batch, outcomes, strict=True)] == [True] * 3


def test_artifacts_that_are_there_are_checked_and_not_compiled_again(profile, anchor, network, tmp_path):
    with CompilePool(profile, tmp_path, workers=1) as pool:
        (made,) = pool.compile([network])
        built = made.stat().st_mtime_ns
        made_again = pool.compile([network], check=True, made={network.name: made})
        (wrong,) = pool.compile([anchor], check=True, made={anchor.name: made})
    assert made_again == [made]
    assert made.stat().st_mtime_ns == built
    assert isinstance(wrong, MeasurementFailure)
    assert (wrong.candidate_id, wrong.stage) == (anchor.name, "check")


def test_a_corrupt_network_costs_itself_alone(profile, network, corrupt, tmp_path):
    with CompilePool(profile, tmp_path, workers=1) as pool:
        failed, compiled = pool.compile([corrupt, network])
    assert isinstance(failed, MeasurementFailure)
    assert (failed.candidate_id, failed.stage, failed.profile_id) == ("corrupt", "compile", profile.id)
    assert compiled.is_file()


def test_a_killed_worker_costs_its_candidate_alone(profile, anchor, network, tmp_path):
    with CompilePool(profile, tmp_path, workers=1) as pool:
        pool.compile([anchor])
        (worker,) = pool._workers
        # Stopped, it cannot answer: it is killed with the first candidate in hand.
        os.kill(worker.pid, signal.SIGSTOP)
        threading.Timer(3.0, os.kill, (worker.pid, signal.SIGKILL)).start()
        failed, compiled = pool.compile([network, network])
    assert isinstance(failed, MeasurementFailure)
    assert failed.stage == "crash"
    assert compiled.is_file()
