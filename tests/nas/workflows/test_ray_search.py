"""A search whose candidates are prepared on a Ray cluster, one node of which is killed, and the same search without."""

import pytest

from nas.home import Home
from nas.jobs.queue import JobQueue
from nas.jobs.requests import SearchRequest
from nas.jobs.worker import WorkerSettings, run_worker
from nas.measuring.ray_cluster import ray_cluster
from nas.workflows.job_handlers import job_handlers
from nas.workflows.job_requests import JobRequests
from nas.workspace import open_workspace
from tests.ray_nodes import missing_ray, running_cluster

SEARCH = {
    "device": "local-cpu/onnxruntime", "space": "mobilenet_v3:tiny", "method": "random", "evaluations": 8,
    "batch_size": 4, "survey": 0, "screen": 0, "finish_epochs": 0.0, "seed": 11,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(missing_ray() is not None, reason=str(missing_ray()))
@pytest.mark.filterwarnings("ignore")  # Ray's own
@pytest.mark.usefixtures("supernet")
def test_a_search_on_a_cluster_evaluates_the_same(hwnas):
    with open_workspace(Home(hwnas.home)) as workspace:
        workspace.profile(SEARCH["device"])
        queue, once = JobQueue(workspace.store), WorkerSettings(until_idle=True)
        asked = JobRequests(workspace.store, workspace.home).search(SearchRequest(**SEARCH))
        with running_cluster() as nodes, ray_cluster(nodes.address) as cluster:
            first = queue.enqueue(asked.kind, asked.request)
            handlers = job_handlers(workspace, executors=cluster)

            def losing_a_node(context):
                report = context.report_progress

                def report_and_kill(progress):
                    report(progress)
                    if workspace.store.searches.find(first.id) and workspace.store.searches.generations(first.id):
                        nodes.kill_second()

                context.report_progress = report_and_kill
                return handlers["search"](context)

            run_worker(workspace.store, {"search": losing_a_node}, once)
            assert nodes.second.poll() is not None
        second = queue.enqueue(asked.kind, asked.request)
        run_worker(workspace.store, job_handlers(workspace), once)
        outcomes = []
        for job_id in (first.id, second.id):
            job = queue.get(job_id)
            assert job.state == "succeeded", job.error
            trials = [trial for one in workspace.store.searches.generations(job_id) for trial in one.trials]
            outcomes.append([(trial.genotype, trial.values[1]) for trial in trials])
        assert outcomes[0] == outcomes[1]
