import errno
import json
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hw_profiles.detect import resolve_profile
from hw_profiles.environment import is_fault_of_environment
from hw_profiles.errors import CompileError, MeasuringError, WorkerLostError
from hw_profiles.timing_lock import TimingLock
from hw_profiles.worker_process import WorkerProcess


@pytest.fixture
def worker(tmp_path):
    with WorkerProcess(resolve_profile("local-cpu/onnxruntime"), tmp_path / "worker.log") as started:
        yield started


def _endless(network):
    timed = (str(network.onnx), str(network.reference))
    limits = {"round_ms": 1e9, "warmup_ms": 1.0, "min_calls": 1, "max_calls": 10**9}
    return {"command": "time", "networks": [timed], "rounds": 1, **limits}


def test_answers_and_keeps_running(worker, network, tmp_path):
    pid = worker.pid
    compiled = worker.request(
        {"command": "compile", "files": network.as_json(), "folder": str(tmp_path)}, deadline_s=60
    )
    assert compiled["ok"]
    assert Path(compiled["artifact"]).exists()
    assert worker.request({"command": "unknown"}, deadline_s=60) == {
        "ok": False,
        "stage": "run",
        "message": "'unknown'",
    }
    assert worker.pid == pid


def test_a_hang_is_ended_at_its_deadline_and_another_worker_starts(worker, network):
    pid = worker.pid
    with pytest.raises(WorkerLostError, match=r"time gave no result in 0.5 s") as caught:
        worker.request(_endless(network), deadline_s=0.5)
    assert caught.value.timed_out
    assert worker.pid is None
    assert worker.request({"command": "prepare"}, deadline_s=60) == {"ok": True}
    assert worker.pid not in (None, pid)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_death_is_named(worker, network, how):
    killer = threading.Timer(0.3, os.kill, (worker.pid, how))
    killer.start()
    with pytest.raises(WorkerLostError, match=f"ended by {how.name} during time") as caught:
        worker.request(_endless(network), deadline_s=60)
    assert not caught.value.timed_out
    assert worker.request({"command": "prepare"}, deadline_s=60) == {"ok": True}


def test_a_worker_dies_with_its_parent(network, tmp_path):
    program = (
        "import json, os, sys; from pathlib import Path;"
        "from hw_profiles.detect import resolve_profile; from hw_profiles.worker_process import WorkerProcess;"
        "worker = WorkerProcess(resolve_profile('local-cpu/onnxruntime'), Path(sys.argv[1]));"
        "worker.start(); print(worker.pid, flush=True);"
        "worker.request(json.loads(sys.argv[2]), deadline_s=600)"
    )

    arguments = [sys.executable, "-c", program, str(tmp_path / "log"), json.dumps(_endless(network))]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as parent:
        handle = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()

    ended, _, _ = select.select([handle], [], [], 30)
    os.close(handle)
    assert ended


def test_a_worker_that_cannot_start_says_why(tmp_path):
    worker = WorkerProcess(resolve_profile("local-cpu/onnxruntime"), tmp_path / "log", start_deadline_s=0.0)
    with pytest.raises(MeasuringError, match=r"worker of local-cpu/onnxruntime did not start: prepare gave no result"):
        worker.start()
    assert worker.pid is None


def test_waiting_for_another_measurement_does_not_count(network, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a lock of this test's own
    request = _endless(network) | {"round_ms": 1.0, "max_calls": 1}
    with WorkerProcess(resolve_profile("local-cpu/onnxruntime"), tmp_path / "worker.log") as worker:
        lock = TimingLock(tmp_path)
        lock.__enter__()
        release = threading.Timer(4, lock.__exit__, (None, None, None))
        release.start()
        assert worker.request(request, deadline_s=3)["ok"]
        release.join()


def test_after_the_wait_its_own_deadline_counts(network, tmp_path, monkeypatch):
    """A hang is the candidate's, not that of the process that measured before."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with WorkerProcess(resolve_profile("local-cpu/onnxruntime"), tmp_path / "worker.log") as worker:
        lock = TimingLock(tmp_path)
        lock.__enter__()
        release = threading.Timer(2, lock.__exit__, (None, None, None))
        release.start()
        with pytest.raises(WorkerLostError, match=r"time gave no result in 3 s") as caught:
            worker.request(_endless(network), deadline_s=3)
        assert caught.value.timed_out
        release.join()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOTDIR])
def test_faults_of_the_disk_are_not_the_candidates(number):
    error = CompileError("cannot compile")
    error.__cause__ = OSError(number, os.strerror(number))
    assert is_fault_of_environment(error)
    assert not is_fault_of_environment(CompileError("no kernel"))
