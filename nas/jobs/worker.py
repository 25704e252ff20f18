"""A worker process: claims jobs, keeps their leases alive, runs their handlers."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final

from hw_profiles.host import LOCAL_DEVICE, local_host
from nas.jobs.errors import JobCancelledError, JobReleasedError
from nas.jobs.heartbeat import heartbeat
from nas.jobs.queue import Job, JobKind, JobQueue
from nas.store import Store
from nas.store.errors import LeaseLostError, StoreUnavailableError
from nas.store.leases import Lease
from search_spaces.errors import NasError

_log: Final = logging.getLogger(__name__)

_STOP_CHECK_S: Final = 0.1

Handler = Callable[["JobContext"], Mapping[str, Any]]
"""Runs one job and gives its result, a JSON object. It is run again from the start after
its worker died, so that it looks first for what is done already."""


class StopSignal:
    """A request to stop a worker: first to drain (finish the current job), then to release it.

    Plain attributes: an ``Event`` that a signal handler sets can deadlock with the wait that it interrupts.
    """

    def __init__(self) -> None:
        self.draining = False
        """Whether no further job is to be claimed."""
        self.releasing = False
        """Whether the job at hand is to be given back."""

    def drain(self) -> None:
        """Asks for no further claims."""
        self.draining = True

    def release(self) -> None:
        """Asks for the job at hand to be given back as soon as its handler looks, too."""
        self.releasing = True
        self.draining = True

    def wait(self, seconds: float) -> None:
        """Waits until draining, at most so long."""
        until = time.monotonic() + seconds
        while not self.draining and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _STOP_CHECK_S))


class JobContext:
    """The context of a handler: the request, the lease for writes, progress reports and the stop signal."""

    def __init__(self, job: Job, queue: JobQueue, stop: StopSignal) -> None:
        self.job = job
        self._queue = queue
        self._stop = stop
        self._lost = threading.Event()
        self._cancelled = threading.Event()

    @property
    def job_id(self) -> str:
        """The job's id; a search takes it as its own."""
        return self.job.id

    @property
    def request(self) -> Mapping[str, Any]:
        """What was asked, a JSON object."""
        return self.job.request

    @property
    def lease(self) -> Lease:
        """Goes with every write of results to the store."""
        return self.job.lease

    def report_progress(self, progress: Mapping[str, Any]) -> None:
        """Publishes progress, a JSON object.

        Raises:
            LeaseLostError: if the job is another worker's by now.
        """
        self._queue.report(self.lease, progress)

    def check_cancelled(self) -> None:
        """Ends the handler where it should not go on; call it between steps, at least every few seconds.

        Raises:
            JobCancelledError: if somebody cancelled the job.
            JobReleasedError: if this worker has to stop.
            LeaseLostError: if the job is another worker's by now.
        """
        if self._lost.is_set():
            raise LeaseLostError(self.lease.job_id, self.lease.fence)
        if self._cancelled.is_set():
            raise JobCancelledError(f"job {self.job_id} was cancelled.")
        if self._stop.releasing:
            raise JobReleasedError(f"job {self.job_id} returns to the queue, because its worker is stopping.")

    def beat(self, lease_s: float) -> bool:
        """Extends the lease and looks for a cancellation; False where the lease is lost."""
        try:
            job = self._queue.extend(self.lease, lease_s=lease_s)
        except LeaseLostError:
            self._lost.set()
            return False
        except NasError as error:  # of the database or its disk: the next beat may succeed
            _log.warning("job %s: the lease could not be extended: %s", self.job_id, error)
            return True
        if job.cancel_requested:
            self._cancelled.set()
        return True


def worker_name(pid: int | None = None) -> str:
    """``host:pid`` of a process of this host (by default this one), as in the table of jobs."""
    host = local_host()
    return f"{socket.gethostname() if host == LOCAL_DEVICE else host}:{os.getpid() if pid is None else pid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Settings of a worker."""

    name: str = field(default_factory=worker_name)
    """Shown in the table of jobs."""
    host: str = field(default_factory=local_host)
    """Whose devices it measures on; it leaves jobs on other hosts' devices alone."""
    lease_s: float = 30.0
    """A worker that is silent for so long has lost its job."""
    poll_s: float = 1.0
    """Pause between looks at an empty queue."""
    until_idle: bool = False
    """Whether to return when nothing can be claimed."""
    batch_id: str | None = None
    """Claim only this batch's jobs."""


def run_worker(
    store: Store,
    handlers: Mapping[JobKind, Handler],
    settings: WorkerSettings | None = None,
    *,
    stop: StopSignal | None = None,
) -> int:
    """Runs jobs one after another; returns the number of jobs that it ended.

    SIGTERM and SIGINT drain: the current job is finished, no other is claimed; a second
    one returns the current job to the queue. (Only if this runs in the main thread.)

    Args:
        store: Of this process alone.
        handlers: By kind; other kinds are left to other workers.
        settings: Name, lease and polling.
        stop: For a caller that stops the worker itself.

    Raises:
        StoreError: if the database cannot be used; the current job runs again when its lease ends.
    """
    settings = settings or WorkerSettings()
    queue = JobQueue(store)
    stop = stop or StopSignal()
    ended = 0
    with _stopping_on_signals(stop):
        while not stop.draining:
            job = queue.claim(
                settings.name,
                kinds=tuple(handlers),
                lease_s=settings.lease_s,
                host=settings.host,
                batch_id=settings.batch_id,
            )
            if job is not None:
                ended += _run(job, queue, handlers[job.kind], stop, settings.lease_s)
            elif settings.until_idle:
                break
            else:
                stop.wait(settings.poll_s)
    return ended


def _run(job: Job, queue: JobQueue, handler: Handler, stop: StopSignal, lease_s: float) -> bool:
    """Runs one claimed job; whether this worker ended it."""
    context = JobContext(job, queue, stop)
    try:
        try:
            with heartbeat(lambda: context.beat(lease_s), period_s=lease_s / 3, name=f"lease-{context.job_id}"):
                _conclude(context, queue, handler)
        except JobReleasedError:
            queue.release(job.lease)
            return False
    except LeaseLostError as error:
        _log.warning("%s", error)
        return False
    return True


def _conclude(context: JobContext, queue: JobQueue, handler: Handler) -> None:
    lease = context.lease
    try:
        queue.succeed(lease, handler(context))
    except (LeaseLostError, JobReleasedError, StoreUnavailableError):
        raise  # none of them is the job's fault: it runs again
    except JobCancelledError:
        queue.mark_cancelled(lease)
    except NasError as error:
        queue.fail(lease, code=error.code, message=str(error))
    except Exception as error:  # noqa: BLE001 - a defect in one job must not end the worker
        _log.exception("job %s failed", context.job_id)
        queue.fail(lease, code="internal", message=f"{type(error).__name__}: {error}")


@contextmanager
def _stopping_on_signals(stop: StopSignal) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.draining:
            stop.release()
        else:
            stop.drain()

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
