"""Calibrations and trainings as users see them."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Select, select

from nas.jobs.figures import JobFigures, job_figures
from nas.jobs.queue import Job, JobState, job_of_row
from nas.store import Store
from nas.store.pages import PageRequest, PageStart, read_page
from nas.store.tables import JobRow
from nas.store.tenancy import EVERYTHING, Viewer, visible_jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """One job now."""

    job: Job
    figures: JobFigures


class JobStatuses:
    """The jobs of one kind, newest first; :mod:`nas.jobs.search_statuses` has the searches."""

    def __init__(self, store: Store, kind: Literal["calibration", "training"]) -> None:
        self._database = store.database
        self._kind = kind

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

    def _visible(self, viewer: Viewer) -> Select[Any]:
        return select(JobRow).where(JobRow.kind == self._kind, *visible_jobs(viewer))
