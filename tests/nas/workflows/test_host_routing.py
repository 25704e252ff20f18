"""Two hosts on one PostgreSQL: each job runs where its device is."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from nas.home import Home
from nas.jobs.batches import Batches
from nas.jobs.requests import BatchRequest
from nas.jobs.submission import NewBatch, Origin, Submissions
from nas.jobs.worker import StopSignal
from nas.store import open_store
from nas.store.errors import HostNameTakenError
from nas.store.host_tables import HostRow
from nas.workflows.host_presence import present_host
from nas.workflows.job_requests import JobRequests, RequestFieldError
from nas.workspace import Workspace

HOSTS = ("alpha", "beta")
SPACE = "mobilenet_v3:tiny"


@pytest.fixture
def postgres_url(postgres_server):
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def workspace(postgres_url, tmp_path):
    with open_store(postgres_url) as store:
        yield Workspace(Home(tmp_path), store)


def calibrations(*devices):
    return BatchRequest.model_validate(
        {"calibrations": [{"device": device, "space": SPACE, "budget": 5} for device in devices]}
    )


def submit(workspace, asked):
    """The jobs of a batch, as REST or the command line accepts them."""
    jobs = JobRequests(workspace.store, workspace.home).batch(asked)
    accepted = Submissions(workspace.store).submit(jobs, Origin(), batch=NewBatch(name=None))
    return Batches(workspace.store).find(accepted.resource_id).jobs


def test_jobs_are_for_the_host_of_their_device_and_for_any_if_an_agent_has_it(workspace, monkeypatch):
    for host in HOSTS:
        monkeypatch.setenv("HWNAS_HOST", host)
        with present_host(workspace, StopSignal()):
            assert host in {one.name for one in workspace.store.hosts.alive()}
    workspace.store.agents.create("phone")
    phone = workspace.profile("local-cpu/onnxruntime").on_host("phone")
    workspace.store.devices.put(phone)
    # Asked on beta, where local-cpu is beta.
    jobs = submit(workspace, calibrations("alpha/onnxruntime", "local-cpu/onnxruntime", "phone/onnxruntime"))
    assert [job.host for job in jobs] == ["alpha", "beta", None]
    assert [job.request["device"] for job in jobs][1] == "beta/onnxruntime"
    with pytest.raises(RequestFieldError, match=r"calibrations\.0\.device"):
        submit(workspace, calibrations("gamma/onnxruntime"))


def test_another_machine_of_the_same_name_is_refused(workspace, monkeypatch):
    with present_host(workspace, StopSignal()):
        monkeypatch.setattr("nas.workspace.machine_id", lambda: "another")
        with pytest.raises(HostNameTakenError, match="set HWNAS_HOST"):
            workspace.profile("local-cpu/onnxruntime")
    assert [one.name for one in workspace.store.hosts.alive()] == ["local-cpu"]


def test_a_worker_whose_name_another_machine_took_claims_nothing_more(workspace):
    stop = StopSignal()
    with present_host(workspace, stop, beat_s=0.01):
        with workspace.store.database.write() as session:  # as when both announced themselves at once
            session.get_one(HostRow, "local-cpu").machine = "another"
        stop.wait(60)
    assert stop.draining


@contextlib.contextmanager
def worker(workspace, url, host, *options):
    environment = os.environ | {
        "HWNAS_HOME": str(workspace.home.root), "HWNAS_DATABASE_URL": url, "HWNAS_HOST": host,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "nas.cli", "worker", *options], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_two_workers_run_the_jobs_of_their_own_devices(workspace, postgres_url, monkeypatch):
    for host in HOSTS:
        monkeypatch.setenv("HWNAS_HOST", host)
        workspace.put_local_devices()
    jobs = submit(workspace, calibrations("beta/onnxruntime", "alpha/onnxruntime"))
    with worker(workspace, postgres_url, "alpha", "--until-idle") as alone:
        assert alone.wait() == 0
    batch = Batches(workspace.store).find(jobs[0].batch_id)
    assert [job.state for job in batch.jobs] == ["queued", "succeeded"], "beta's waits, though it came first"
    with contextlib.ExitStack() as stack:
        both = [stack.enter_context(worker(workspace, postgres_url, host, "--until-idle")) for host in HOSTS]
        both[1].send_signal(signal.SIGSTOP)
        assert both[0].wait() == 0
        both[1].send_signal(signal.SIGCONT)
        assert both[1].wait() == 0
    batch = Batches(workspace.store).find(jobs[0].batch_id)
    assert [job.state for job in batch.jobs] == ["succeeded"] * 2, [job.error for job in batch.jobs]
    for host in HOSTS:
        device = f"{host}/onnxruntime"
        measured = workspace.store.measurements.of(device)
        assert {one.outcome.profile_id for one in measured} == {device}
        assert len(measured) >= 5
        assert workspace.store.predictors.latest(kind="latency", space=SPACE, profile_id=device) is not None
