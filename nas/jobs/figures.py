"""Statistics of jobs: place in the queue, and counts of failed and noisy evaluations."""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Final

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from nas.store.tables import JobRow, MeasurementRow, SearchRow, TrialRow

QUEUE_ORDER: Final = (JobRow.priority.desc(), JobRow.created_at, JobRow.id)
"""Jobs are claimed in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFigures:
    """Figures of one job."""

    queue_position: int | None = None
    """1 for the job that is claimed next, by a worker of its host if it needs one; None unless it is queued."""
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
    positions = _queue_positions(session, set(ids))
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


def _queue_positions(session: Session, ids: Set[str]) -> dict[str, int]:
    """Places of queued jobs among those that their host's workers may run, which are all jobs of no host."""
    positions: dict[str, int] = {}
    if not session.scalar(select(exists().where(JobRow.id.in_(ids), JobRow.state == "queued"))):
        return positions
    of_any_host = 0
    of_host: Counter[str] = Counter()
    for job_id, host in session.execute(
        select(JobRow.id, JobRow.host).where(JobRow.state == "queued").order_by(*QUEUE_ORDER)
    ):
        if host is None:
            of_any_host += 1
        else:
            of_host[host] += 1
        if job_id in ids:
            positions[job_id] = of_any_host + (0 if host is None else of_host[host])
    return positions
