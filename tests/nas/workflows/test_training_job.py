"""Trainings as jobs: cancelled, resumed at the step where they stopped, and the same as on the command line."""

import httpx
import pytest

from hwnas.client import Client, SearchRequest, TrainingRequest
from nas.cli.service_query import running_service
from nas.data_uploads import DataUploads
from nas.home import Home
from nas.jobs.events import JobEvents
from nas.jobs.queue import JobQueue
from nas.jobs.requests import TrainingRequest as TrainingBody
from nas.jobs.worker import WorkerSettings, run_worker
from nas.training.record import CHECKPOINT_FILE
from nas.workflows.job_handlers import job_handlers
from nas.workflows.job_requests import JobRequests
from nas.workspace import open_workspace

SETTINGS = {"epochs": 2, "batch_size": 32, "seed": 5}


def _done(workspace, job):
    return [event.data["done"] for event in JobEvents(workspace.store).after(job.id, 0) if event.kind == "progress"]


def test_a_cancelled_training_resumes_at_the_step_where_it_stopped(hwnas, small_data):
    with open_workspace(Home(hwnas.home)) as workspace:
        queue = JobQueue(workspace.store)
        data_set = DataUploads(workspace.store, workspace.home).add(small_data, name="small")
        asked = JobRequests(workspace.store, workspace.home).training(
            TrainingBody(data=f"stored:{data_set.id}", **SETTINGS)
        )
        job = queue.enqueue(asked.kind, asked.request)
        handlers = job_handlers(workspace)

        def cancelled_after_its_first_report(context):
            report = context.report_progress

            def report_and_cancel(progress):
                report(progress)
                queue.cancel(job.id)
                context.beat(60)

            context.report_progress = report_and_cancel
            return handlers["training"](context)

        once = WorkerSettings(until_idle=True)
        run_worker(workspace.store, {"training": cancelled_after_its_first_report}, once)
        assert queue.get(job.id).state == "cancelled"
        stopped = max(_done(workspace, job))
        assert len(list(workspace.home.supernets.glob(f"*/{CHECKPOINT_FILE}"))) == 1
        queue.requeue(job.id)
        run_worker(workspace.store, handlers, once)
        job = queue.get(job.id)
        assert job.state == "succeeded", job.error
        steps = workspace.store.supernets.get(job.result["supernet"]).metrics["steps"]
        later = [done for done in _done(workspace, job) if done > stopped]
        assert (min(later), max(later)) == (stopped + 2, steps)  # the step at which it was cancelled was done, too
        assert not list(workspace.home.supernets.glob(f"*/{CHECKPOINT_FILE}"))
        assert workspace.store.supernets.get(job.result["supernet"]).data_set_id == data_set.id
    words = ("--epochs", 2, "--batch-size", 32, "--seed", 5)
    assert hwnas.json("train", "--data", f"stored:{data_set.id}", *words)["supernet"] == job.result["supernet"]
    code, _, err = hwnas("data", "delete", data_set.id)
    assert code == 1
    assert f"/v1/supernets/{job.result['supernet']} refers to" in err


@pytest.mark.slow
def test_from_an_upload_to_a_front_over_rest(hwnas, small_data, tmp_path):
    with running_service() as address, Client(address) as client, open_workspace(Home(hwnas.home)) as workspace:
        data_set = client.data_sets.upload(small_data, name="uploaded")
        training = client.trainings.start(TrainingRequest(data=data_set.data, epochs=1, batch_size=32, seed=11))
        run_worker(workspace.store, job_handlers(workspace), WorkerSettings(until_idle=True))
        training = client.trainings.wait(training)
        supernet = client.supernets.get(training.supernet)
        assert (supernet.data, supernet.data_set) == ("npz:uploaded.npz", data_set.url)
        search = client.searches.start(
            SearchRequest(
                device="local-cpu/onnxruntime", space=supernet.space, supernet=supernet.id, evaluations=16,
                batch_size=3, survey=8, finish_epochs=0,
            )
        )  # fmt: skip
        run_worker(workspace.store, job_handlers(workspace), WorkerSettings(until_idle=True))
        front = client.fronts.get(client.searches.wait(search).front)
        assert (front.data, front.supernet) == ("npz:uploaded.npz", supernet.id)
        assert front.members
        client.artifacts.download_member(front.members[0], tmp_path)
        assert httpx.delete(address + data_set.url).status_code == 409
