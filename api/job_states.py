"""Job states, as clients see them."""

from collections.abc import Mapping
from typing import Any

from api.job_wire import BatchOut, CalibrationOut, JobErrorOut, SearchOut, TrainingOut
from nas.jobs.batches import BatchStatus
from nas.jobs.figures import JobFigures
from nas.jobs.job_statuses import JobStatus
from nas.jobs.progress import TOTAL, total_progress
from nas.jobs.queue import Job
from nas.jobs.search_statuses import SearchStatus

_ACTIVE = ("queued", "running", "interrupted")
_SEARCHED = 0.6
"""Fraction of a search that is done once its budget is spent; finishing and verification follow."""


def batch_url(batch_id: str) -> str:
    """Address of a batch."""
    return f"/v1/batches/{batch_id}"


def calibration_out(status: JobStatus) -> CalibrationOut:
    """A calibration as it is answered."""
    job = status.job
    return CalibrationOut(
        **_of_job(job),
        **_of_figures(status.figures),
        state=job.state,
        url=f"/v1/calibrations/{job.id}",
        device=job.request.get("device"),
        evaluations=status.figures.measured,
    )


def training_out(status: JobStatus) -> TrainingOut:
    """A training as it is answered."""
    job = status.job
    epochs = int(job.request.get("epochs") or 0)
    supernet = (job.result or {}).get("supernet")
    return TrainingOut(
        **_of_job(job),
        **_of_figures(status.figures),
        state=job.state,
        url=f"/v1/trainings/{job.id}",
        device=None,
        evaluations=0,
        epochs=epochs,
        epochs_done=epochs * total_progress(job),
        supernet=None if supernet is None else f"/v1/supernets/{supernet}",
    )


def search_out(status: SearchStatus) -> SearchOut:
    """A search as it is answered, whether a job or the command line runs it."""
    return SearchOut(
        **(_of_command(status) if status.job is None else _of_job(status.job) | {"request": dict(status.request)}),
        **_of_figures(status.figures),
        state=status.state,
        url=f"/v1/searches/{status.id}",
        device=status.device,
        evaluations=status.evaluations,
        front=None if status.front_id is None else f"/v1/fronts/{status.front_id}",
    )


def batch_out(status: BatchStatus) -> BatchOut:
    """A batch with its members."""
    return BatchOut(
        id=status.id,
        name=status.name,
        url=batch_url(status.id),
        state=status.state,
        counts=dict(status.counts),
        total_progress=status.total_progress,
        members=[
            search_out(member) if isinstance(member, SearchStatus) else calibration_out(member)
            for member in status.members
        ],
        created_at=status.created_at,
        finished_at=status.finished_at,
    )


def _of_job(job: Job) -> dict[str, Any]:
    progress = None if job.progress is None else {key: value for key, value in job.progress.items() if key != TOTAL}
    return {
        "id": job.id,
        "request": dict(job.request),
        "batch": None if job.batch_id is None else batch_url(job.batch_id),
        "trace_id": job.trace_id,
        "host": job.host,
        "priority": job.priority,
        "worker": job.worker,
        "heartbeat_at": job.heartbeat_at,
        "phase": None if progress is None else progress.get("task"),
        "progress": progress,
        "total_progress": total_progress(job),
        "cancel_requested": job.cancel_requested and not job.ended,
        "result": None if job.result is None else dict(job.result),
        "error": None if job.error is None else JobErrorOut(code=job.error["code"], message=job.error["message"]),
        "attempts": job.attempts,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def _of_command(status: SearchStatus) -> dict[str, Any]:
    """A search that no job runs: its process reports nothing beyond its evaluations."""
    search = status.search
    ended_at = None if search is None or status.state in _ACTIVE else search.updated_at
    return {
        "id": status.id,
        "request": dict(status.request),
        "batch": None,
        "trace_id": None,
        "host": None,
        "priority": 0,
        "worker": None if search is None or status.state != "running" else search.owner,
        "heartbeat_at": None if search is None else search.updated_at,
        "phase": None,
        "progress": None,
        "total_progress": 1.0 if status.state == "succeeded" else _share(status.evaluations, status.request),
        "cancel_requested": status.cancel_requested,
        "result": None,
        "error": None,
        "attempts": 1,
        "created_at": status.created_at,
        "started_at": status.created_at,
        "finished_at": ended_at,
    }


def _share(evaluations: int, settings: Mapping[str, Any]) -> float:
    budget = settings.get("evaluations") or 0
    return min(_SEARCHED, _SEARCHED * evaluations / budget) if budget else 0.0


def _of_figures(figures: JobFigures) -> dict[str, Any]:
    return {
        "queue_position": figures.queue_position,
        "evaluations_failed": figures.failed,
        "evaluations_noisy": figures.noisy,
    }
