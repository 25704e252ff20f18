"""Job handlers of workers; after a worker's death, each job resumes where it stopped."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from hw_profiles.errors import DeviceChangedError
from hw_profiles.profile import DeviceProfile
from nas.jobs.errors import JobReleasedError
from nas.jobs.progress import TOTAL, Pace, advanced
from nas.jobs.queue import JobKind
from nas.jobs.worker import Handler, JobContext
from nas.measuring.candidate_executor import ExecutorFactory
from nas.measuring.candidate_processes import CandidateProcesses
from nas.measuring.context import SearchContext
from nas.training.settings import TrainingSettings
from nas.workflows.calibrating import CalibrationTask, calibrate_device, measurable_profile
from nas.workflows.evaluating import measure_design, preparation_pool
from nas.workflows.fitting import fit_accuracy
from nas.workflows.front_search import search_front
from nas.workflows.searching import SearchTask
from nas.workflows.supernet_trust import supernet_trust
from nas.workflows.training import TrainingTask, train
from nas.workspace import Workspace

_REPORT_EVERY_S = 1.0


class JobProgress:
    """Publishes a job's progress, and ends the job where it was cancelled or lost."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._last_s = 0.0
        # A job that resumes goes on from what its last worker reported.
        self._total = float((context.job.progress or {}).get(TOTAL, 0.0))
        self._messages: list[str] = []
        self._pace = Pace()

    def update(self, task: str, done: int, total: int, figures: Mapping[str, str] | None = None) -> None:
        """See :class:`nas.progress.Progress`."""
        self._context.check_cancelled()
        self._total = advanced(self._context.job.kind, self._total, task, done, total)
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
                "seconds_left": self._pace.seconds_left(task, done, total, now_s),
                TOTAL: self._total,
            }
        )

    def say(self, message: str) -> None:
        """See :class:`nas.progress.Progress`."""
        self._messages.append(message)


@contextlib.contextmanager
def released_if_changed(workspace: Workspace, profile: DeviceProfile) -> Iterator[None]:
    """Gives the job back if its device changed under it: its next claim begins with the device as it is then.

    Raises:
        JobReleasedError: if the device is known to be another one by now.
        DeviceChangedError: if it is not, such as where its agent no longer offers it.
    """
    try:
        yield
    except DeviceChangedError as error:
        if workspace.profile(profile.id).fingerprint == profile.fingerprint:
            raise
        raise JobReleasedError(str(error)) from error


def job_handlers(workspace: Workspace, *, executors: ExecutorFactory = CandidateProcesses) -> dict[JobKind, Handler]:
    """A handler for each kind of job; ``executors`` makes the processes that prepare candidates."""

    def run_search(context: JobContext) -> Mapping[str, Any]:
        asked = context.request
        supernet = workspace.supernet(asked.get("supernet"), space=asked.get("space"))
        profile = workspace.profile(asked["device"])
        task = SearchTask.from_settings(asked)
        with (
            released_if_changed(workspace, profile),
            preparation_pool(workspace, supernet, executors=executors) as pool,
        ):
            where = SearchContext(
                workspace=workspace,
                supernet=supernet,
                profile=profile,
                pool=pool,
                progress=JobProgress(context),
                lease=context.lease,
            )
            front_id, front = search_front(where, task, search_id=context.job_id, job_id=context.job_id)
        return {"front": front_id, "members": len(front.members), "evaluations": front.evaluations}

    def run_calibration(context: JobContext) -> Mapping[str, Any]:
        asked = context.request
        progress = JobProgress(context)
        task = CalibrationTask(
            space=asked["space"],
            budget=asked["budget"],
            target_mape_pct=asked.get("target_mape_pct"),
            sources=None if asked.get("sources") is None else tuple(asked["sources"]),
            precisions=asked.get("precisions", "all"),
            seed=asked.get("seed", 0),
            supernet=asked.get("supernet"),
        )
        profile = measurable_profile(workspace, asked["device"])
        with released_if_changed(workspace, profile):
            # The designed set comes first: what it measures joins the calibration.
            evaluated = {} if task.supernet is None else evaluate_design(context, task.supernet, profile, progress)
            report = calibrate_device(workspace, profile.id, task, progress, context.lease)
        return {
            "latency_predictor": report.revision,
            "latency": report.calibration.predictor.held_out.as_json(),
            **report.as_json(),
            **evaluated,
        }

    def evaluate_design(
        context: JobContext, supernet_id: str, profile: DeviceProfile, progress: JobProgress
    ) -> dict[str, Any]:
        supernet = workspace.supernet(supernet_id)
        with preparation_pool(workspace, supernet, executors=executors) as pool:
            measuring = SearchContext(
                workspace=workspace,
                supernet=supernet,
                profile=profile,
                pool=pool,
                progress=progress,
                lease=context.lease,
            )
            measure_design(measuring, count=context.request["budget"])
        accuracy, revision = fit_accuracy(workspace, supernet)
        return {"accuracy_predictor": revision, "accuracy": accuracy.held_out.as_json()}

    def run_training(context: JobContext) -> Mapping[str, Any]:
        settings = dict(context.request)
        data, space = settings.pop("data"), settings.pop("space")
        task = TrainingTask(data=data, space=space, settings=TrainingSettings.from_json(settings))
        supernet = train(workspace, task, JobProgress(context), lease=context.lease)
        trust = supernet_trust(workspace, supernet)
        return {"supernet": supernet.id, "metrics": dict(supernet.metrics), "trust": trust.as_json()}

    return {"search": run_search, "calibration": run_calibration, "training": run_training}
