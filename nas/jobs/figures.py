"""Statistics of jobs: place in the queue, and counts of failed and noisy evaluations."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from nas.store.tables import JobRow, MeasurementRow, SearchRow, TrialRow


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFigures:
    """Figures of one job."""

    queue_position: int | None = None
    """1 for the job that is claimed next; None unless it is queued."""
    measured: int = 0
    """Networks that the job measured itself, failures included; known measurements are not repeated."""
    failed: int = 0
    """Of a search, failed evaluations; of a calibration, failed measurements."""
    noisy: int = 0
    """Measurements that failed their own quality check and were kept, marked."""


def job_figures(session: Session, job_ids: Iterable[str]) -> Mapping[str, JobFigures]:
    """The figures of jobs and of searches of the command line, by id."""
    ids = list(job_ids)
    if not ids:
        return {}
    place = func.row_number().over(order_by=(JobRow.created_at, JobRow.id)).label("place")
    queued = select(JobRow.id, place).where(JobRow.state == "queued").subquery()
    asked = select(queued.c.id, queued.c.place).where(queued.c.id.in_(ids))
    positions: dict[str, int] = {row[0]: row[1] for row in session.execute(asked)}
    of_jobs = (
        select(
            MeasurementRow.job_id,
            func.count(),
            func.count(MeasurementRow.failure_stage),
            func.count().filter(MeasurementRow.quality == "noisy"),
        )
        .where(MeasurementRow.job_id.in_(ids))
        .group_by(MeasurementRow.job_id)
    )
    measured = {job_id: counts for job_id, *counts in session.execute(of_jobs)}
    of_searches = (
        select(TrialRow.search_id, func.count())
        .where(TrialRow.search_id.in_(ids), TrialRow.state == "failed")
        .group_by(TrialRow.search_id)
    )
    failed_trials: dict[str, int] = {row[0]: row[1] for row in session.execute(of_searches)}
    searches = set(session.scalars(select(SearchRow.id).where(SearchRow.id.in_(ids))))
    figures = {}
    for job_id in ids:
        count, failures, noisy = measured.get(job_id, (0, 0, 0))
        figures[job_id] = JobFigures(
            queue_position=positions.get(job_id),
            measured=count,
            failed=failed_trials.get(job_id, 0) if job_id in searches else failures,
            noisy=noisy,
        )
    return figures
