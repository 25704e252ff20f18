"""A calibration job with a supernet also evaluates a designed set, and fits accuracy."""

import pytest

from nas.home import Home
from nas.jobs.queue import JobQueue
from nas.jobs.worker import WorkerSettings, run_worker
from nas.workflows.job_handlers import job_handlers
from nas.workspace import open_workspace


@pytest.mark.slow
def test_with_a_supernet_both_predictors_are_fitted(hwnas, supernet):
    request = {"device": "local-cpu/onnxruntime", "space": "mobilenet_v3:tiny", "budget": 8}
    with open_workspace(Home(hwnas.home)) as workspace:
        queue = JobQueue(workspace.store)
        job = queue.enqueue("calibration", request | {"supernet": supernet["supernet"]})
        run_worker(workspace.store, job_handlers(workspace), WorkerSettings(until_idle=True))
        job = queue.get(job.id)
        assert job.state == "succeeded", job.error
        latency = workspace.store.predictors.get(job.result["latency_predictor"])
        accuracy = workspace.store.predictors.get(job.result["accuracy_predictor"])
        newest = workspace.store.predictors.latest(
            kind="latency", space="mobilenet_v3:tiny", profile_id="local-cpu/onnxruntime"
        )
    assert newest == latency
    assert accuracy.supernet_id == supernet["supernet"]
    assert job.result["samples"] >= 14
    assert set(job.result["accuracy"]) >= {"kendall_tau", "rmse"}
