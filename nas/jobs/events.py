"""Events of jobs: each change of state and each report of progress, in the order of their numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, cast

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from nas.store import Store
from nas.store.service_tables import JobEventRow
from nas.store.tables import JobRow

EventKind = Literal["state", "progress"]
KEPT_EVENTS: Final = 1000
"""Of one job; older ones are deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """One change of a job."""

    number: int
    """Orders the events of a job, from 1; without gaps, except for a search of the command line."""
    kind: EventKind
    data: Mapping[str, Any]
    """With ``state``: the state and what came with it. With ``progress``: the progress that was reported."""
    created_at: datetime


class JobEvents:
    """Events by job."""

    def __init__(self, store: Store) -> None:
        self._database = store.database

    def after(self, job_id: str, number: int) -> tuple[JobEvent, ...]:
        """The events after the one with this number, oldest first; 0 for all that are kept."""
        query = select(JobEventRow).where(JobEventRow.job_id == job_id, JobEventRow.number > number)
        with self._database.read() as session:
            return tuple(
                JobEvent(number=row.number, kind=cast("EventKind", row.kind), data=row.data, created_at=row.created_at)
                for row in session.scalars(query.order_by(JobEventRow.number))
            )


def record_event(session: Session, job: JobRow, kind: EventKind, data: Mapping[str, Any], now: datetime) -> None:
    """Adds an event in the transaction that changes the job."""
    job.events = (job.events or 0) + 1
    session.flush()  # a new job's row comes before its events
    session.add(JobEventRow(job_id=job.id, number=job.events, kind=kind, data=dict(data), created_at=now))
    if job.events > KEPT_EVENTS:
        outdated = JobEventRow.number <= job.events - KEPT_EVENTS
        session.execute(delete(JobEventRow).where(JobEventRow.job_id == job.id, outdated))


def record_state(session: Session, job: JobRow, now: datetime) -> None:
    """Adds an event with the job's state as it is now."""
    data: dict[str, Any] = {"state": job.state, "attempts": job.attempts, "cancel_requested": job.cancel_requested}
    for name in ("worker", "result", "error"):
        if getattr(job, name) is not None:
            data[name] = getattr(job, name)
    record_event(session, job, "state", data, now)
