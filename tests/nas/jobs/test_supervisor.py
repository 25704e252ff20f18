"""A supervised worker that is killed or stopped, and one whose supervisor is killed."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nas.jobs import Job, JobQueue
from nas.jobs.supervisor import SupervisorSettings, supervised_worker
from nas.store import Store, open_store
from tests.nas.store.rows import put_device, put_supernet

_LEASE_S = "600"
_SUPERVISE = """
import sys
from nas.jobs.supervisor import SupervisorSettings, supervised_worker
from nas.store import open_store
with open_store(sys.argv[1]) as store, supervised_worker(store, SupervisorSettings(command=sys.argv[2:])):
    sys.stdin.read()
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'hwnas.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as store:
        put_device(store)
        put_supernet(store)
        yield store


def _command(url: str) -> list[str]:
    return [sys.executable, "-m", "tests.nas.jobs.worker_program", url, _LEASE_S, "--supervised"]


def _claimed(queue: JobQueue, job_id: str, fence: int) -> Job:
    """The job once it has been claimed so often; the test's time limit ends a wait in vain."""
    while (job := queue.get(job_id)).fence < fence or job.state != "running":
        pass
    return job


def _process(job: Job) -> psutil.Process:
    assert job.worker is not None
    return psutil.Process(int(job.worker.rpartition(":")[2]))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_job_of_a_dead_or_stopped_worker_goes_on_long_before_its_lease_ends(
    store: Store, url: str, number: signal.Signals
) -> None:
    queue = JobQueue(store)
    job = queue.enqueue("search", {"steps": 1, "ask": True})
    with supervised_worker(store, SupervisorSettings(command=_command(url), restart_s=0.01, stopped_s=0.01)):
        first = _process(_claimed(queue, job.id, 1))
        first.send_signal(number)
        second = _process(_claimed(queue, job.id, 2))
        assert second != first
        assert not first.is_running()
    assert not second.is_running()
    released = queue.get(job.id)
    assert (released.state, released.attempts) == ("queued", 1)


def test_the_worker_of_a_killed_supervisor_gives_its_job_back_and_ends(store: Store, url: str) -> None:
    queue = JobQueue(store)
    job = queue.enqueue("search", {"steps": 1, "ask": True})
    with subprocess.Popen([sys.executable, "-c", _SUPERVISE, url, *_command(url)], stdin=subprocess.PIPE) as supervisor:
        worker = _process(_claimed(queue, job.id, 1))
        supervisor.kill()
    worker.wait(timeout=60)
    released = queue.get(job.id)
    assert (released.state, released.attempts) == ("queued", 0)
