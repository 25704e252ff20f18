"""What workers do for each kind of job; run again after a worker's death, each goes on where it was."""

import time
from collections.abc import Mapping
from typing import Any

from nas.jobs.queue import JobKind
from nas.jobs.worker import Handler, JobContext
from nas.search.outcome import Limits
from nas.workflows.evaluating import measure_design, preparation_pool
from nas.workflows.fitting import fit_predictors
from nas.workflows.front_search import search_front
from nas.workflows.searching import SearchRequest
from nas.workflows.workspace import Workspace

_REPORT_EVERY_S = 1.0


class JobProgress:
    """Publishes a job's progress, and ends the job where it was cancelled or lost."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._last_s = 0.0
        self._messages: list[str] = []

    def update(self, task: str, done: int, total: int, figures: Mapping[str, str] | None = None) -> None:
        """See :class:`nas.progress.Progress`."""
        self._context.check_cancelled()
        now_s = time.monotonic()
        if done < total and now_s - self._last_s < _REPORT_EVERY_S:
            return
        self._last_s = now_s
        self._context.report_progress(
            {
                "task": task,
                "done": done,
                "total": total,
                "figures": dict(figures or {}),
                "messages": self._messages[-20:],
            }
        )

    def say(self, message: str) -> None:
        """See :class:`nas.progress.Progress`."""
        self._messages.append(message)


def job_handlers(workspace: Workspace) -> dict[JobKind, Handler]:
    """A handler for each kind of job."""

    def run_search(context: JobContext) -> Mapping[str, Any]:
        asked = context.request
        supernet = workspace.supernet(asked.get("supernet"), space=asked.get("space"))
        profile = workspace.profile(asked["device"])
        request = SearchRequest(
            evaluations=asked["evaluations"], seed=asked["seed"], limits=Limits(**asked.get("limits", {}))
        )
        with preparation_pool(workspace, supernet) as pool:
            front_id, front = search_front(
                workspace,
                supernet,
                profile,
                request,
                pool,
                JobProgress(context),
                search_id=context.job_id,
                job_id=context.job_id,
                lease=context.lease,
            )
        return {"front": front_id, "members": len(front.members), "evaluations": front.evaluations}

    def run_calibration(context: JobContext) -> Mapping[str, Any]:
        asked = context.request
        supernet = workspace.supernet(asked.get("supernet"), space=asked.get("space"))
        profile = workspace.profile(asked["device"])
        progress = JobProgress(context)
        with preparation_pool(workspace, supernet) as pool:
            measured = measure_design(workspace, supernet, profile, pool, progress, count=asked["budget"])
        fitted = fit_predictors(workspace, supernet, profile)
        return {
            "latency_predictor": fitted.latency_revision,
            "accuracy_predictor": fitted.accuracy_revision,
            "measured": len(measured.outcomes) - measured.failures,
            "failed": measured.failures,
            "latency": fitted.latency.held_out.as_json(),
            "accuracy": fitted.accuracy.held_out.as_json(),
        }

    return {"search": run_search, "calibration": run_calibration}
