"""A search asked for over HTTP survives its worker's death, whatever step it was at."""

import contextlib
import signal
import subprocess
import sys
from collections import Counter

import httpx
import pytest

from nas.cli.service_query import running_service
from nas.home import Home
from nas.workspace import open_workspace


@contextlib.contextmanager
def worker_process():
    process = subprocess.Popen(
        [sys.executable, "-m", "nas.cli", "worker", "--until-idle", "--lease-s", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(condition, process):
    """Looks five times a second; gives up when the process has ended."""
    while not (found := condition()):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
            return condition()
    return found


@pytest.mark.usefixtures("supernet")
@pytest.mark.slow
def test_a_search_outlives_its_worker(hwnas):
    device = "local-cpu/onnxruntime"
    with running_service() as address, open_workspace(Home(hwnas.home)) as workspace:
        measured_before = {s.outcome.candidate_id for s in workspace.store.measurements.of(device)}
        request = {"device": device, "space": "mobilenet_v3:tiny", "evaluations": 20, "seed": 3, "finish_epochs": 0}
        accepted = httpx.post(f"{address}/v1/searches", json=request)
        assert accepted.status_code == 202
        where = accepted.headers["location"]
        job_id = where.rsplit("/", 1)[-1]

        def generations():
            return workspace.store.searches.find(job_id) and workspace.store.searches.generations(job_id)

        with worker_process() as first:
            before = wait_for(generations, first)
            assert before
            first.send_signal(signal.SIGKILL)
            first.wait()
        assert httpx.get(f"{address}{where}").json()["state"] == "running"

        def state():
            return httpx.get(f"{address}{where}").json()["state"]

        attempts = 0
        while state() not in ("succeeded", "failed") and attempts < 100:
            with worker_process() as other:
                wait_for(lambda: state() == "succeeded", other)
            attempts += 1
        answer = httpx.get(f"{address}{where}").json()
        assert answer["state"] == "succeeded", answer
        after = workspace.store.searches.generations(job_id)
        assert after[: len(before)] == before
        assert sum(generation.evaluations for generation in after) == 20
        front = httpx.get(f"{address}{answer['front']}")
        info = workspace.store.fronts.of_search(job_id)
        assert front.content == workspace.store.fronts.body(info.id)
        # What the first worker had measured was not measured again; only what was verified (its
        # files are kept) is timed once more, from the files that ship.
        first_done = {trial.candidate_id for generation in before for trial in generation.trials}
        finalists = {one for one in first_done if workspace.store.artifacts.of_candidate(one)}
        kept = Counter(s.outcome.candidate_id for s in workspace.store.measurements.of(device))
        assert all(kept[candidate] == 1 for candidate in first_done - finalists - measured_before)
