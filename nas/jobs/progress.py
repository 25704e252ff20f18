"""Progress of a whole job, computed from its tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from nas.jobs.queue import Job, JobKind

TOTAL: Final = "total_progress"
"""In a job's progress: the fraction of the whole job that is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Tasks whose name starts with ``prefix`` lead from one fraction of the job to another."""

    prefix: str
    start: float
    end: float


STAGES: Final[Mapping[JobKind, tuple[Stage, ...]]] = {
    "search": (
        Stage(prefix="surveying", start=0.0, end=0.05),
        Stage(prefix="search on", start=0.05, end=0.6),
        Stage(prefix="finishing", start=0.6, end=0.9),
        Stage(prefix="verifying", start=0.9, end=1.0),
    ),
    "calibration": (
        Stage(prefix="fitting known devices", start=0.0, end=0.1),
        Stage(prefix="calibrating", start=0.1, end=1.0),
    ),
    "training": (Stage(prefix="training the supernet", start=0.0, end=1.0),),
}
"""Shares of a job's time, about as with the default settings; other tasks leave the fraction as it is."""


class Pace:
    """How long a task will take, from the steps that were done since it was first seen."""

    def __init__(self) -> None:
        self._task = ""
        self._first_s = 0.0
        self._first_done = 0

    def seconds_left(self, task: str, done: int, total: int, now_s: float) -> float | None:
        """Until the task's end, if the rest goes on as fast; None before a second step of it is seen."""
        if task != self._task or done < self._first_done:
            self._task, self._first_s, self._first_done = task, now_s, done
        if done <= self._first_done or done > total:
            return None
        return (now_s - self._first_s) * (total - done) / (done - self._first_done)


def advanced(kind: JobKind, before: float, task: str, done: int, total: int) -> float:
    """The fraction of a job that is done after a report; it never falls."""
    for stage in STAGES[kind]:
        if task.startswith(stage.prefix) and total > 0:
            return max(before, stage.start + (stage.end - stage.start) * min(1.0, done / total))
    return before


def total_progress(job: Job) -> float:
    """The fraction of a job that is done, 0 to 1; 1 only for one that has succeeded."""
    if job.state == "succeeded":
        return 1.0
    return min(0.99, float((job.progress or {}).get(TOTAL, 0.0)))
