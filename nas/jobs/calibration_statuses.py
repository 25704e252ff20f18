"""Calibrations as users see them."""

from dataclasses import dataclass

from sqlalchemy import select

from nas.jobs.figures import JobFigures, job_figures
from nas.jobs.queue import Job, JobState, job_of_row
from nas.store import Store
from nas.store.pages import PageRequest, PageStart, read_page
from nas.store.tables import JobRow
from nas.store.tenancy import EVERYTHING, Viewer, visible_jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationStatus:
    """One calibration now."""

    job: Job
    figures: JobFigures


class CalibrationStatuses:
    """The calibrations of a store, newest first."""

    def __init__(self, store: Store) -> None:
        self._database = store.database

    def find(self, calibration_id: str, viewer: Viewer = EVERYTHING) -> CalibrationStatus | None:
        """The calibration, or None if there is none that the viewer may see."""
        query = select(JobRow).where(JobRow.id == calibration_id, JobRow.kind == "calibration", *visible_jobs(viewer))
        with self._database.read() as session:
            row = session.scalars(query).one_or_none()
            if row is None:
                return None
            return CalibrationStatus(job=job_of_row(row), figures=job_figures(session, [row.id])[row.id])

    def page(
        self,
        page: PageRequest,
        *,
        state: JobState | None = None,
        device: str | None = None,
        space: str | None = None,
        viewer: Viewer = EVERYTHING,
    ) -> tuple[tuple[CalibrationStatus, ...], PageStart | None]:
        """A page of calibrations, and where the next one starts."""
        query = select(JobRow).where(JobRow.kind == "calibration", *visible_jobs(viewer))
        if state is not None:
            query = query.where(JobRow.state == state)
        for name, value in (("device", device), ("space", space)):
            if value is not None:
                query = query.where(JobRow.request[name].as_string() == value)
        with self._database.read() as session:
            rows, following = read_page(session, query, JobRow, page)
            figures = job_figures(session, [row.id for row in rows])
            return tuple(CalibrationStatus(job=job_of_row(row), figures=figures[row.id]) for row in rows), following
