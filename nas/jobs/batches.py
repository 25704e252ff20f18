"""Batches: jobs that were accepted together, as one resource."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from nas.jobs.figures import job_figures
from nas.jobs.job_statuses import JobStatus
from nas.jobs.progress import total_progress
from nas.jobs.queue import Job, JobQueue, JobState, job_of_row
from nas.jobs.search_statuses import SearchStatus, SearchStatuses
from nas.store import Store
from nas.store.audit import Change
from nas.store.errors import NotStoredError
from nas.store.pages import PageRequest, PageStart, read_page
from nas.store.service_tables import BatchRow
from nas.store.tables import JobRow
from nas.store.tenancy import EVERYTHING, Viewer

Member = SearchStatus | JobStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchStatus:
    """The current status of a batch."""

    id: str
    name: str | None
    tenant: str | None
    created_at: datetime
    members: tuple[Member, ...]
    """In the order of the request: searches, then calibrations."""

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The members' jobs."""
        return tuple(member.job for member in self.members if member.job is not None)

    @property
    def counts(self) -> Mapping[JobState, int]:
        """How many members are in each state."""
        return Counter(job.state for job in self.jobs)

    @property
    def state(self) -> JobState:
        """``queued`` until a member starts, ``running`` until all have ended; then the worst of their states."""
        counts = self.counts
        if counts.get("queued", 0) == len(self.jobs):
            return "queued"
        if counts.get("queued", 0) or counts.get("running", 0):
            return "running"
        ended: tuple[JobState, ...] = ("failed", "cancelled", "succeeded")
        return next(state for state in ended if counts.get(state, 0))

    @property
    def ended(self) -> bool:
        """Whether every member has ended."""
        return all(job.ended for job in self.jobs)

    @property
    def finished_at(self) -> datetime | None:
        """When the last member ended."""
        moments = [job.finished_at for job in self.jobs]
        known = [moment for moment in moments if moment is not None]
        return max(known) if len(known) == len(moments) else None

    @property
    def total_progress(self) -> float:
        """The mean of the members', 0 to 1."""
        return sum(map(total_progress, self.jobs)) / len(self.jobs)


class Batches:
    """The batches of a store, newest first."""

    def __init__(self, store: Store) -> None:
        self._database = store.database
        self._searches = SearchStatuses(store)
        self._queue = JobQueue(store)

    def find(self, batch_id: str, viewer: Viewer = EVERYTHING) -> BatchStatus | None:
        """The batch, or None if there is none that the viewer may see."""
        with self._database.read() as session:
            row = session.get(BatchRow, batch_id)
            if row is None or (row.tenant is not None and not viewer.owns(row.tenant)):
                return None
            return self._statuses(session, [row])[0]

    def page(
        self, page: PageRequest, *, viewer: Viewer = EVERYTHING
    ) -> tuple[tuple[BatchStatus, ...], PageStart | None]:
        """A page of batches, and where the next one starts."""
        query = select(BatchRow)
        if not viewer.sees_all:
            query = query.where(BatchRow.tenant.is_(None) | (BatchRow.tenant == viewer.tenant))
        with self._database.read() as session:
            rows, following = read_page(session, query, BatchRow, page)
            return tuple(self._statuses(session, rows)), following

    def cancel(self, batch_id: str, *, change: Change | None = None) -> BatchStatus:
        """Cancels every member as :meth:`JobQueue.cancel` does.

        Raises:
            NotStoredError: if there is none with this id.
        """
        self._queue.cancel_batch(batch_id, change=change)
        found = self.find(batch_id)
        if found is None:
            raise NotStoredError("batch", batch_id)
        return found

    def _statuses(self, session: Session, rows: Sequence[BatchRow]) -> list[BatchStatus]:
        query = select(JobRow).where(JobRow.batch_id.in_([row.id for row in rows])).order_by(JobRow.id)
        jobs = session.scalars(query).all()
        searches = {
            status.id: status
            for status in self._searches.of_jobs(session, [job for job in jobs if job.kind == "search"])
        }
        others = [job for job in jobs if job.kind != "search"]
        figures = job_figures(session, [job.id for job in others])
        calibrations = {job.id: JobStatus(job=job_of_row(job), figures=figures[job.id]) for job in others}
        members: dict[str, list[Member]] = {row.id: [] for row in rows}
        for job in jobs:
            if job.batch_id is not None:
                members[job.batch_id].append(searches.get(job.id) or calibrations[job.id])
        return [
            BatchStatus(
                id=row.id, name=row.name, tenant=row.tenant, created_at=row.created_at, members=tuple(members[row.id])
            )
            for row in rows
        ]
