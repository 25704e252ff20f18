"""Leases: a worker's right to write a job's results, identified by a fencing token."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from nas.store.errors import LeaseLostError
from nas.store.tables import JobRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A claimed job. The fence grows with every claim, so that an older holder is recognized."""

    job_id: str
    fence: int


def require(session: Session, lease: Lease | None) -> None:
    """Keeps a fenced-out worker from writing: checked in, and locked for, the writing transaction.

    An expired lease that nobody claimed since still counts. ``None`` is work without a job.

    Raises:
        LeaseLostError: if the job has another fence or does not run.
    """
    if lease is not None:
        held_row(session, lease)


def held_row(session: Session, lease: Lease) -> JobRow:
    """The job's row, locked until the transaction ends; errors as :func:`require`."""
    query = select(JobRow).where(JobRow.id == lease.job_id, JobRow.fence == lease.fence, JobRow.state == "running")
    row = session.scalars(query.with_for_update()).one_or_none()
    if row is None:
        raise LeaseLostError(lease.job_id, lease.fence)
    return row
