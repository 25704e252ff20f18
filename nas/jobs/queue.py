"""The job queue: rows with state, lease and fencing token.

A claim raises the fence; every later write of the claiming worker names the fence that
it got. A worker that was paused past its lease finds another fence and can change
nothing, so a job is finished once. Correctness rests on the fence alone: a wrong lease
(clocks of several hosts disagree) costs repeated work and nothing else.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from hw_profiles.host import LOCAL_DEVICE
from nas.jobs.events import record_event, record_state
from nas.jobs.figures import QUEUE_ORDER
from nas.store import Store
from nas.store.audit import Change, record_change
from nas.store.errors import NotStoredError
from nas.store.leases import Lease, held_row
from nas.store.tables import JobRow

JobKind = Literal["search", "calibration", "training"]
JobState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
DEFAULT_MAX_ATTEMPTS: Final = 10
"""Claims before a job that keeps losing its workers is given up."""


_FOLDERS: Final[Mapping[JobKind, str]] = {
    "search": "searches",
    "calibration": "calibrations",
    "training": "trainings",
}


def job_address(kind: JobKind, job_id: str) -> str:
    """Address of a job in the service."""
    return f"/v1/{_FOLDERS[kind]}/{job_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The current state of a job."""

    id: str
    kind: JobKind
    request: Mapping[str, Any]
    host: str | None
    """Host whose worker runs it, since its device is there; None for a job that any worker can run."""
    priority: int
    """Jobs with a higher one are claimed first; -100 to 100."""
    tenant: str | None
    """Whose API key submitted it; None for a job that everyone may see."""
    batch_id: str | None
    trace_id: str | None
    """Of the trace (W3C Trace Context) that the request belongs to, if a request submitted it."""
    state: JobState
    fence: int
    """Grows with every claim."""
    worker: str | None
    """Holder of the lease while running."""
    lease_until: datetime | None
    attempts: int
    """Claims so far, releases taken back."""
    max_attempts: int
    cancel_requested: bool
    heartbeat_at: datetime | None
    """When its worker last gave a sign of life."""
    progress: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    """``code`` and ``message`` of a failed job."""
    result: Mapping[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    """First claim."""
    finished_at: datetime | None

    @property
    def lease(self) -> Lease:
        """What the claiming worker writes with."""
        return Lease(job_id=self.id, fence=self.fence)

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ("succeeded", "failed", "cancelled")

    def is_claimable(self, now: datetime) -> bool:
        """Whether a worker may claim it: it is queued, or the worker that ran it lost its lease."""
        expired = self.lease_until is not None and self.lease_until <= now
        return self.state == "queued" or (self.state == "running" and expired)


class JobQueue:
    """Jobs of one store. Methods that take a lease raise :class:`LeaseLostError` where it no longer holds."""

    def __init__(self, store: Store) -> None:
        self._database = store.database
        self._clock = store.clock

    def enqueue(
        self,
        kind: JobKind,
        request: Mapping[str, Any],
        *,
        job_id: str | None = None,
        host: str | None = None,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    ) -> Job:
        """Adds a job; the id is random where none is given.

        Raises:
            StoreConflictError: if the id is taken.
        """
        row = JobRow(
            id=job_id or uuid.uuid4().hex,
            kind=kind,
            request=dict(request),
            host=host,
            priority=0,
            state="queued",
            fence=0,
            attempts=0,
            max_attempts=max_attempts,
            cancel_requested=False,
            created_at=self._clock(),
        )
        with self._database.write() as session:
            session.add(row)
            record_state(session, row, row.created_at)
            return job_of_row(row)

    def find(self, job_id: str, *, kind: JobKind | None = None) -> Job | None:
        """The job (of this kind, where given), or None."""
        with self._database.read() as session:
            row = session.get(JobRow, job_id)
            return None if row is None or (kind is not None and row.kind != kind) else job_of_row(row)

    def get(self, job_id: str) -> Job:
        """The job.

        Raises:
            NotStoredError: if there is none with this id.
        """
        found = self.find(job_id)
        if found is None:
            raise NotStoredError("job", job_id)
        return found

    def all(self, *, state: JobState | None = None) -> tuple[Job, ...]:
        """Jobs in the order they were added, of one state where given."""
        query = select(JobRow).order_by(JobRow.created_at, JobRow.id)
        if state is not None:
            query = query.where(JobRow.state == state)
        with self._database.read() as session:
            return tuple(job_of_row(row) for row in session.scalars(query))

    def claim(
        self,
        worker: str,
        *,
        kinds: tuple[JobKind, ...],
        lease_s: float,
        host: str = LOCAL_DEVICE,
        batch_id: str | None = None,
    ) -> Job | None:
        """Claims the next job that is queued or whose lease has expired; or None.

        That is the oldest among those of the highest priority. Jobs that are not to run again (cancelled
        meanwhile, or out of attempts) are ended on the way.

        Args:
            worker: who claims.
            kinds: of jobs that it can run.
            lease_s: how long it holds the job without a sign of life.
            host: the worker's; jobs that need the devices of another host are left to that one.
            batch_id: of the batch whose jobs alone are claimed.
        """
        while True:
            with self._database.write() as session:
                row = self._next(session, kinds, host, batch_id)
                if row is None:
                    return None
                if row.cancel_requested:
                    self._end(session, row, "cancelled")
                elif row.attempts >= row.max_attempts:
                    row.error = {
                        "code": "too-many-attempts",
                        "message": f"given up: {row.attempts} workers were lost while they ran this job.",
                    }
                    self._end(session, row, "failed")
                else:
                    row.state, row.worker = "running", worker
                    row.fence += 1
                    row.attempts += 1
                    row.heartbeat_at = self._clock()
                    row.lease_until = row.heartbeat_at + timedelta(seconds=lease_s)
                    row.started_at = row.started_at or row.heartbeat_at
                    record_state(session, row, row.heartbeat_at)
                    return job_of_row(row)

    def extend(self, lease: Lease, *, lease_s: float) -> Job:
        """Moves the lease's end to ``lease_s`` from now; gives the job, with ``cancel_requested``."""
        with self._database.write() as session:
            row = held_row(session, lease)
            row.heartbeat_at = self._clock()
            row.lease_until = row.heartbeat_at + timedelta(seconds=lease_s)
            return job_of_row(row)

    def report(self, lease: Lease, progress: Mapping[str, Any]) -> None:
        """Replaces the job's progress."""
        with self._database.write() as session:
            row = held_row(session, lease)
            row.progress, row.heartbeat_at = dict(progress), self._clock()
            record_event(session, row, "progress", progress, row.heartbeat_at)

    def succeed(self, lease: Lease, result: Mapping[str, Any]) -> Job:
        """Ends the job with a result."""
        with self._database.write() as session:
            row = held_row(session, lease)
            row.result = dict(result)
            self._end(session, row, "succeeded")
            return job_of_row(row)

    def fail(self, lease: Lease, *, code: str, message: str) -> Job:
        """Ends the job with an error."""
        with self._database.write() as session:
            row = held_row(session, lease)
            row.error = {"code": code, "message": message}
            self._end(session, row, "failed")
            return job_of_row(row)

    def mark_cancelled(self, lease: Lease) -> Job:
        """Ends the job as cancelled, by its worker."""
        with self._database.write() as session:
            row = held_row(session, lease)
            self._end(session, row, "cancelled")
            return job_of_row(row)

    def release(self, lease: Lease) -> Job:
        """Gives the job back to the queue; the attempt does not count. One that is to be cancelled ends instead."""
        with self._database.write() as session:
            row = held_row(session, lease)
            if row.cancel_requested:
                self._end(session, row, "cancelled")
                return job_of_row(row)
            row.state, row.worker, row.lease_until = "queued", None, None
            row.attempts -= 1
            record_state(session, row, self._clock())
            return job_of_row(row)

    def expire(self, worker: str) -> int:
        """Ends the leases of a worker that is known to be dead; returns how many jobs can be claimed now."""
        query = select(JobRow).where(JobRow.worker == worker, JobRow.state == "running")
        with self._database.write() as session:
            rows = session.scalars(query.with_for_update()).all()
            for row in rows:
                row.lease_until = self._clock()
            return len(rows)

    def cancel(self, job_id: str, *, change: Change | None = None) -> Job:
        """Cancels: a running job when its worker next looks, one that no worker holds at once; an ended one stays.

        Raises:
            NotStoredError: if there is none with this id.
        """
        with self._database.write() as session:
            row = session.get(JobRow, job_id, with_for_update=True)
            if row is None:
                raise NotStoredError("job", job_id)
            self._cancel(session, row)
            address = job_address(cast("JobKind", row.kind), job_id)
            record_change(session, change, self._clock(), subject=address)
            return job_of_row(row)

    def cancel_batch(self, batch_id: str, *, change: Change | None = None) -> None:
        """Cancels the jobs of a batch, each as :meth:`cancel` does, in one transaction."""
        query = select(JobRow).where(JobRow.batch_id == batch_id).order_by(JobRow.id)
        with self._database.write() as session:
            for row in session.scalars(query.with_for_update()):
                self._cancel(session, row)
            record_change(session, change, self._clock(), subject=f"/v1/batches/{batch_id}")

    def requeue(self, job_id: str) -> Job:
        """Queues a failed or cancelled job again; it resumes where it stopped. Any other stays as it is.

        Raises:
            NotStoredError: if there is none with this id.
        """
        with self._database.write() as session:
            row = session.get(JobRow, job_id, with_for_update=True)
            if row is None:
                raise NotStoredError("job", job_id)
            if row.state in ("failed", "cancelled"):
                row.state, row.finished_at, row.error = "queued", None, None
                row.attempts, row.cancel_requested = 0, False
                record_state(session, row, self._clock())
            return job_of_row(row)

    def _next(self, session: Session, kinds: tuple[JobKind, ...], host: str, batch_id: str | None) -> JobRow | None:
        expired = and_(JobRow.state == "running", JobRow.lease_until <= self._clock())
        query = (
            select(JobRow)
            .where(JobRow.kind.in_(kinds), or_(JobRow.state == "queued", expired))
            .where(or_(JobRow.host.is_(None), JobRow.host == host))
            .order_by(*QUEUE_ORDER)
            .limit(1)
            .with_for_update(skip_locked=True)  # PostgreSQL; SQLite's writers wait for each other anyway
        )
        if batch_id is not None:
            query = query.where(JobRow.batch_id == batch_id)
        return session.scalars(query).first()

    def _cancel(self, session: Session, row: JobRow) -> None:
        if job_of_row(row).is_claimable(self._clock()):
            self._end(session, row, "cancelled")
        elif row.state == "running" and not row.cancel_requested:
            row.cancel_requested = True
            record_state(session, row, self._clock())

    def _end(self, session: Session, row: JobRow, state: Literal["succeeded", "failed", "cancelled"]) -> None:
        row.state, row.worker, row.lease_until = state, None, None
        row.finished_at = self._clock()
        record_state(session, row, row.finished_at)


def job_of_row(row: JobRow) -> Job:
    """A job's row as a job."""
    return Job(
        id=row.id,
        kind=cast("JobKind", row.kind),
        request=row.request,
        host=row.host,
        priority=row.priority,
        tenant=row.tenant,
        batch_id=row.batch_id,
        trace_id=row.trace_id,
        state=cast("JobState", row.state),
        fence=row.fence,
        worker=row.worker,
        lease_until=row.lease_until,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        cancel_requested=row.cancel_requested,
        heartbeat_at=row.heartbeat_at,
        progress=row.progress,
        error=row.error,
        result=row.result,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )
