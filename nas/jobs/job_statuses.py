"""Calibrations and trainings as users see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Select, select

from nas.jobs.events import JobEvent, JobEvents
from nas.jobs.figures import JobFigures, job_figures
from nas.jobs.queue import Job, JobQueue, JobState, job_of_row
from nas.store import Store
from nas.store.audit import Change
from nas.store.errors import NotStoredError
from nas.store.pages import PageRequest, PageStart, read_page
from nas.store.tables import JobRow
from nas.store.tenancy import EVERYTHING, Viewer, visible_jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """The current status of a job."""

    job: Job
    figures: JobFigures

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def tenant(self) -> str | None:
        """Whose API key submitted it; None if everyone may see it."""
        return self.job.tenant

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.job.ended


class JobStatuses:
    """The jobs of one kind, newest first; :mod:`nas.jobs.search_statuses` has the searches."""

    def __init__(self, store: Store, kind: Literal["calibration", "training"]) -> None:
        self._database = store.database
        self._kind = kind
        self._queue = JobQueue(store)
        self._events = JobEvents(store)

    def find(self, job_id: str, viewer: Viewer = EVERYTHING) -> JobStatus | None:
        """The job, or None if there is none that the viewer may see."""
        with self._database.read() as session:
            row = session.scalars(self._visible(viewer).where(JobRow.id == job_id)).one_or_none()
            if row is None:
                return None
            return JobStatus(job=job_of_row(row), figures=job_figures(session, [row.id])[row.id])

    def page(
        self,
        page: PageRequest,
        *,
        state: JobState | None = None,
        device: str | None = None,
        space: str | None = None,
        viewer: Viewer = EVERYTHING,
    ) -> tuple[tuple[JobStatus, ...], PageStart | None]:
        """A page of jobs, and where the next one starts."""
        query = self._visible(viewer)
        if state is not None:
            query = query.where(JobRow.state == state)
        for name, value in (("device", device), ("space", space)):
            if value is not None:
                query = query.where(JobRow.request[name].as_string() == value)
        with self._database.read() as session:
            rows, following = read_page(session, query, JobRow, page)
            figures = job_figures(session, [row.id for row in rows])
            return tuple(JobStatus(job=job_of_row(row), figures=figures[row.id]) for row in rows), following

    def cancel(self, job_id: str, *, change: Change | None = None) -> JobStatus:
        """Cancels as :meth:`JobQueue.cancel` does.

        Raises:
            NotStoredError: if there is none with this id.
        """
        self._queue.cancel(job_id, change=change)
        found = self.find(job_id)
        if found is None:
            raise NotStoredError(self._kind, job_id)
        return found

    def events(self, status: JobStatus, *, after: int) -> Sequence[JobEvent]:
        """The job's events after the one with this number, oldest first."""
        return self._events.after(status.id, after)

    def _visible(self, viewer: Viewer) -> Select[Any]:
        return select(JobRow).where(JobRow.kind == self._kind, *visible_jobs(viewer))
