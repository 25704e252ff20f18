"""Whole commands on devices that agents serve, while the agents are killed."""

import contextlib
import threading

import httpx
import pytest

from api.server import running
from hw_profiles.measurement import Measurement
from nas.home import Home
from nas.jobs.worker import WorkerSettings, run_worker
from nas.store import open_store
from nas.workflows.job_handlers import job_handlers
from nas.workspace import Workspace
from tests.agents import running_agent
from tests.nas.workflows.conftest import SEARCH

KILLS = 3
CANDIDATES = 6


class MortalAgent:
    """An agent that is killed in the middle of a measurement, and started again, :data:`KILLS` times."""

    def __init__(self, url, token, folder, prelude=""):
        self._arguments = (url, token, folder)
        self._prelude = prelude
        self._registered = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live)
        self.kills = 0

    def __enter__(self):
        self._thread.start()
        assert self._registered.wait(120)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._agent.kill()
        self._thread.join()

    def _live(self):
        while not self._stop.is_set():
            with (
                running_agent(*self._arguments, prelude=self._prelude) as self._agent,
                contextlib.suppress(
                    AssertionError  # killed from outside: the test is over
                ),
            ):
                self._agent.wait_for("is registered")
                self._registered.set()
                for _ in range(2):
                    self._agent.wait_for(": time")
                if self.kills == KILLS:
                    self._agent.process.wait()  # lives until the test ends
                    return
                self.kills += 1


PRELUDES = {
    "quick": "",
    "slow": "import os; os.nice(10)",
    "pinned": (
        "import os, time; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "now = time.time; time.time = lambda: now() + 3600"
    ),
}
"""Three agents of different speeds; the clock of one is wrong by an hour."""


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.usefixtures("supernet")
def test_a_search_over_two_of_three_agents_and_a_calibration_survive_kills(hwnas):
    home = Home(hwnas.home)
    tokens = {name: hwnas.json("agents", "create", name)["token"] for name in PRELUDES}
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(open_store(home.database_url))
        url = stack.enter_context(running(store, home))
        agents = {
            name: stack.enter_context(MortalAgent(url, token, hwnas.home / f"agent-{name}", PRELUDES[name]))
            for name, token in tokens.items()
        }
        asked = [word for word in SEARCH if word not in ("--device", "local-cpu/onnxruntime")]
        found = hwnas.json(
            *asked, "--device", "quick/onnxruntime", "--device", "slow/onnxruntime", "--evaluations", CANDIDATES
        )
        assert found
        assert not store.measurements.of("pinned/onnxruntime"), "nobody asked the third one"

        # The same over REST, unchanged, on the third one.
        request = {"space": "mobilenet_v3:tiny", "budget": 6, "precisions": "fp32", "sources": []}
        job = httpx.post(f"{url}/v1/devices/pinned/onnxruntime/calibrations", json=request).json()
        assert job["host"] is None, "any host's worker can ask an agent"
        workspace = Workspace(home, store)
        assert run_worker(store, job_handlers(workspace), WorkerSettings(until_idle=True, host="elsewhere")) == 1
        state = httpx.get(f"{url}/v1/calibrations/{job['id']}").json()
        assert state["state"] == "succeeded", state
        assert state["result"]["device"] == "pinned/onnxruntime"

        for name in tokens:
            outcomes = [one.outcome for one in store.measurements.of(f"{name}/onnxruntime")]
            assert outcomes
            assert all(isinstance(one, Measurement) for one in outcomes), "no candidate is to blame for a kill"
            assert not store.agent_tasks.is_waiting(store.agents.find(name).id)
        assert {name: agent.kills for name, agent in agents.items()} == dict.fromkeys(tokens, KILLS)

        check = hwnas.json("devices", "check", "pinned/onnxruntime", "--repeats", 3)
        assert (check["device"], check["timings"]) == ("pinned/onnxruntime", 6)
        assert check["setup"]["virtual"] in (True, False), "told by the agent"
    listed = {row["name"]: row for row in hwnas.json("agents", "list")}
    assert listed["quick"]["devices"] == ["quick/onnxruntime", "quick/tvm"]
    hwnas.json("agents", "revoke", "quick")
    assert "cannot be measured here" in hwnas.refused("calibrate", "quick/onnxruntime", "--space", "fbnet")
