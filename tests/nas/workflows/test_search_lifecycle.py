"""A search of the command line: extended, resumed, killed, cancelled; seen over HTTP all the while."""

import contextlib
import os
import signal
import subprocess
import sys
from datetime import timedelta

import httpx
import pytest

from nas.cli.service_query import running_service
from nas.home import Home
from nas.store import open_store
from nas.store.database import utc_now
from nas.store.searches import LEASE_S
from nas.workspace import open_workspace
from tests.databases import SteppedClock
from tests.nas.workflows.conftest import SEARCH


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory):
    """A home of these tests alone: they change what other tests look at."""
    return tmp_path_factory.mktemp("lifecycle")


def generations(home, search_id):
    with open_workspace(Home(home)) as workspace:
        return workspace.store.searches.generations(search_id)


@pytest.mark.slow
def test_a_finished_search_is_listed_resumed_and_extended(hwnas, searched):
    listed = hwnas.json("search", "list", "--state", "succeeded")
    (search,) = [one for one in listed if one["front"] == searched["front"]]
    assert hwnas.json("search", "resume", search["id"]) == searched
    before = generations(hwnas.home, search["id"])
    longer = hwnas.json(*SEARCH, "--evaluations", 10)
    assert longer["evaluations"] == 10
    after = generations(hwnas.home, search["id"])
    assert after[: len(before)] == before
    assert sum(generation.evaluations for generation in after) == 10
    (search,) = [one for one in hwnas.json("search", "list") if one["id"] == search["id"]]
    assert (search["state"], search["front"], search["evaluations"]) == ("succeeded", longer["front"], 10)
    with running_service() as address:
        front = httpx.get(f"{address}/v1/devices/local-cpu/onnxruntime/pareto").json()
    assert {member["candidate"] for member in front["members"]} <= {
        member["candidate"] for member in searched["members"] + longer["members"]
    }


@pytest.mark.slow
@pytest.mark.usefixtures("supernet")
def test_a_killed_search_is_interrupted_cancelled_and_resumed(hwnas):
    command = [*map(str, SEARCH), "--evaluations", "20", "--seed", "11"]
    process = subprocess.Popen(
        [sys.executable, "-m", "nas.cli", *command],
        env=os.environ | {"HWNAS_HOME": str(hwnas.home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        search_id = None
        while search_id is None or not generations(hwnas.home, search_id):
            with open_workspace(Home(hwnas.home)) as workspace:
                found = [one for one in workspace.store.searches.all() if one.seed == 11]
                search_id = found[0].id if found else None
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
            assert process.returncode is None
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    before = generations(hwnas.home, search_id)
    clock = SteppedClock(utc_now() + timedelta(seconds=LEASE_S))
    with open_store(Home(hwnas.home).database_url, clock=clock) as later:
        assert later.searches.get(search_id).state == "interrupted"
    with running_service() as address:
        answer = httpx.post(f"{address}/v1/searches/{search_id}:cancel").json()
        assert answer["state"] == "cancelled"
    front = hwnas.json("search", "resume", search_id)
    assert front["evaluations"] == 20
    assert generations(hwnas.home, search_id)[: len(before)] == before
