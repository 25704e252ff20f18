"""Supervises the service's worker process: restarts it if it dies, and ends it with the service."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil

from nas.jobs.queue import JobQueue
from nas.jobs.worker import StopSignal, worker_name
from nas.store.store import Store
from search_spaces.errors import NasError

_log: Final = logging.getLogger(__name__)
_LOOK_S: Final = 0.2
_LEAVE_S: Final = 5.0
"""For a job to be given back; then the process ends all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSettings:
    """Settings of worker supervision."""

    command: Sequence[str] = (sys.executable, "-m", "nas.cli", "worker", "--supervised")
    """Starts a worker that uses :func:`ending_with_supervisor`."""
    restart_s: float = 1.0
    """Pause before a dead worker is started again."""
    stopped_s: float = 10.0
    """A worker that is stopped (SIGSTOP) for so long is killed and started again."""


@contextmanager
def supervised_worker(store: Store, settings: SupervisorSettings | None = None) -> Iterator[None]:
    """A worker process that is started again whenever it dies, until the context ends.

    The jobs of a dead worker can be claimed at once, before their leases end. At the end the worker is asked to
    give its job back. If this process is killed, the worker sees its standard input end and leaves.
    """
    supervisor = _Supervisor(store, settings or SupervisorSettings())
    thread = threading.Thread(target=supervisor.run, name="worker-supervisor")
    thread.start()
    try:
        yield
    finally:
        supervisor.end()
        thread.join()


class _Supervisor:
    def __init__(self, store: Store, settings: SupervisorSettings) -> None:
        self._queue = JobQueue(store)
        self._settings = settings
        self._ending = threading.Event()

    def end(self) -> None:
        self._ending.set()

    def run(self) -> None:
        while not self._ending.is_set():
            # A session of its own: the terminal's Ctrl-C reaches the server, and the server ends the worker.
            with subprocess.Popen(
                list(self._settings.command), stdin=subprocess.PIPE, start_new_session=True
            ) as process:
                self._watch(process)
            self._free_jobs(process.pid)
            self._ending.wait(self._settings.restart_s)

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        """Returns when the process has ended."""
        stopped_since: float | None = None
        while process.poll() is None:
            if self._ending.wait(_LOOK_S):
                _end(process)
                return
            if not _is_stopped(process.pid):
                stopped_since = None
                continue
            stopped_since = stopped_since or time.monotonic()
            if time.monotonic() - stopped_since >= self._settings.stopped_s:
                _log.warning("worker %d has been stopped for too long; another takes its place", process.pid)
                process.kill()
                process.wait()

    def _free_jobs(self, pid: int) -> None:
        try:
            freed = self._queue.expire(worker_name(pid))
        except NasError as error:  # the leases end by themselves
            _log.warning("the jobs of worker %d wait for their leases: %s", pid, error)
            return
        if freed:
            _log.warning("worker %d died; its job runs again", pid)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Drain, release, and where neither helps in time, kill."""
    # Two different signals: two of one kind may reach the worker as one.
    for number in (signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
    try:
        process.wait(timeout=_LEAVE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _is_stopped(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def ending_with_supervisor(stop: StopSignal) -> None:
    """Makes this worker leave when its standard input ends, as it does when its supervisor dies."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        stop.release()
        time.sleep(_LEAVE_S)
        os._exit(1)  # a handler that did not look in time; the lease gives the job back

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()
