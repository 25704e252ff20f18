"""What happens to measurements when agents, connections, clocks and artifacts fail: all with real processes."""

import contextlib
import dataclasses
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from api.server import running
from hw_profiles.agent.tasks import PROTOCOL
from hw_profiles.agent.tokens import AgentToken
from hw_profiles.agreement import Agreement
from hw_profiles.bench import BenchFailure, CompiledNetwork, Timing
from hw_profiles.confinement import working_bubblewrap
from hw_profiles.errors import DeviceChangedError, MeasuringError
from hw_profiles.measuring_settings import MeasuringSettings
from nas.home import Home
from nas.measuring.agent_bench import AgentBench, AgentBenchSettings, AgentGoneError
from nas.measuring.anchored_bench import AnchoredBench
from nas.store import Store, open_store
from nas.store.agent_tasks import LEASE_S
from nas.workspace import Workspace
from tests.agents import ShiftedClock, running_agent, tiny_network
from tests.nas.store.rows import put_candidates
from tests.plugin.installing import installed_hostile_runtime

QUICK = MeasuringSettings(rounds=3, round_ms=2.0, warmup_ms=1.0, max_attempts=1, recheck_every=0)
LONG = dataclasses.replace(QUICK, warmup_ms=3000.0)
"""Takes three seconds: time enough to do harm in."""
_WITHOUT = """
import importlib.abc
import sys

MISSING = {
    "torch", "xgboost", "onnx", "onnxscript", "optuna", "sqlalchemy", "alembic", "fastapi", "uvicorn",
    "scipy", "matplotlib", "plotly", "safetensors", "PIL", "moocore", "psutil",
}

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"{name} is not installed on the device", name=name)

sys.meta_path.insert(0, Missing())
"""
"""For the agent's process and the one that it starts: none of these is there."""
_TIMED = """
from hw_profiles.runtimes.onnxruntime_runtime import OnnxRuntimeRuntime as R

class Timed:
    def __init__(self, executable):
        self.run = executable.run

    def time(self, image, *, calls):
        return [{ms}] * calls

load = R.load
R.load = lambda self, *given: Timed(load(self, *given))
"""
"""For the agent's process and the one that it starts: each call takes so many milliseconds."""
REGISTERED = "is registered"
AT_WORK = ": time network"


@dataclass
class Place:
    """A home with its store, one agent's token, and a network."""

    home: Home
    store: Store
    clock: ShiftedClock
    token: str
    network: CompiledNetwork

    def bench(self, settings: MeasuringSettings = QUICK, device: str = "phone/onnxruntime") -> AgentBench:
        workspace = Workspace(self.home, self.store)
        return AgentBench(workspace, workspace.profile(device), self.home.root / "compiled", settings)

    def agent(self, url: str, *options: str, folder: str = "agent", **settings):
        return running_agent(url, self.token, self.home.root / folder, *options, **settings)


@pytest.fixture
def place(tmp_path):
    clock = ShiftedClock()
    with open_store(tmp_path / "hwnas.db", clock=clock) as store:
        files = tiny_network(tmp_path)
        token = store.agents.create("phone").reveal()
        yield Place(Home(tmp_path), store, clock, token, CompiledNetwork(files=files, artifact=files.onnx))


@pytest.fixture
def url(place):
    with running(place.store, place.home) as address:
        yield address


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def test_an_agent_killed_at_work_is_followed_by_the_next(place, url, threads):
    with place.agent(url) as agent:
        agent.wait_for(REGISTERED)
        asked = threads.submit(place.bench(LONG).time, place.network)
        first = agent.wait_for(AT_WORK)
        agent.kill()
    with place.agent(url) as agent:
        assert agent.wait_for(AT_WORK) == first, "the same task, at once: its holder is known to be dead"
        assert isinstance(asked.result(), Timing)
    assert not place.store.agent_tasks.is_waiting(place.store.agents.find("phone").id)


def test_a_hung_agent_loses_its_task_and_its_late_report_is_dropped(place, url, threads):
    with place.agent(url) as agent:
        agent.wait_for(REGISTERED)
        asked = threads.submit(place.bench(LONG).time, place.network)
        number = int(agent.wait_for(AT_WORK).split()[1].rstrip(":"))
        agent.kill(signal.SIGSTOP)
        place.clock.forward(LEASE_S + 1)
        assert place.store.agent_tasks.poll(number).state == "queued"
        agent.kill(signal.SIGCONT)
        agent.wait_for("dropped")
        agent.wait_for(AT_WORK)
        assert isinstance(asked.result(), Timing)


def test_a_server_that_restarts_gets_the_report_of_the_task_that_it_gave_out(place, threads):
    with contextlib.ExitStack() as stack:
        with running(place.store, place.home) as address:
            agent = stack.enter_context(place.agent(address))
            agent.wait_for(REGISTERED)
            asked = threads.submit(place.bench(LONG).time, place.network)
            task = agent.wait_for(AT_WORK)
            agent.kill(signal.SIGSTOP)  # so that it reports to nobody
        agent.kill(signal.SIGCONT)
        agent.wait_for("does not answer")
        assert not asked.done()
        stack.enter_context(running(place.store, place.home, port=int(address.rpartition(":")[2])))
        agent.wait_for("answers again")
        assert isinstance(asked.result(), Timing)
        assert agent.said.count(task) == 1, "measured once"


def test_two_agents_of_one_name(place, url):
    with place.agent(url) as first:
        first.wait_for(REGISTERED)
        with place.agent(url, folder="another-machine") as second:
            code, said = second.end()
            assert (code, len(said)) == (1, 1), said
            assert "another agent 'phone' is connected from elsewhere" in said[0]
        with place.agent(url) as twin:
            code, said = twin.end()
            assert (code, len(said)) == (1, 1), said
            assert "another agent with this token is running here" in said[0]
        assert isinstance(place.bench().time(place.network), Timing)


def test_a_wrong_token_is_refused(place, url):
    place.token = AgentToken.new().reveal()
    with place.agent(url) as agent:
        code, said = agent.end()
    assert (code, len(said)) == (1, 1), said
    assert "no agent has this token" in said[0]
    assert place.token not in said[0]


def test_a_token_of_another_name_is_refused(place, url):
    with place.agent(url, "--name", "laptop") as agent:
        code, said = agent.end()
    assert (code, len(said)) == (2, 1), said
    assert "the token is of agent 'phone'" in said[0]


def test_an_agent_of_an_older_version_is_told(place, url):
    old = f"import hw_profiles.agent.tasks as tasks; tasks.PROTOCOL = {PROTOCOL - 1}"
    with place.agent(url, prelude=old) as agent:
        code, said = agent.end()
    assert (code, len(said)) == (1, 1), said
    assert f"agent protocol {PROTOCOL - 1}" in said[0]
    assert "upgrade the agent" in said[0]


def test_an_agent_needs_a_runtime_and_numpy(place, url, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(_WITHOUT)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    with place.agent(url, environment={"PYTHONPATH": path}) as agent:
        agent.wait_for(REGISTERED)
        (artifact,) = place.bench().compile([place.network.files])
        compiled = CompiledNetwork(files=place.network.files, artifact=artifact)
        assert isinstance(place.bench().time(compiled, place.network), Timing)


def test_an_agents_clock_does_not_matter(place, url):
    ahead = "import time; now = time.time; time.time = lambda: now() + 3600"
    with place.agent(url, prelude=ahead) as agent:
        agent.wait_for(REGISTERED)
        assert isinstance(place.bench().time(place.network), Timing)
    seen = place.store.agents.find("phone").last_seen
    assert abs((place.clock() - seen).total_seconds()) < 600


def test_a_device_that_changes_gets_a_new_set_of_measurements(place, url, threads):
    with place.agent(url) as agent:
        agent.wait_for(REGISTERED)
        before = place.bench()
    upgraded = (
        "from hw_profiles.runtimes.onnxruntime_runtime import OnnxRuntimeRuntime as R\n"
        "R.version = property(lambda self: '9.9')"
    )
    asked = threads.submit(before.time, place.network)
    with place.agent(url, prelude=upgraded) as agent:
        agent.wait_for(REGISTERED)
        note = agent.wait_for("has changed")
        assert "is now '9.9'" in note
        assert "a new set of measurements starts" in note
        with pytest.raises(DeviceChangedError, match="phone/onnxruntime has changed"):
            asked.result()
        after = place.bench()
        assert after.profile.fingerprint != before.profile.fingerprint


def test_a_device_that_drifts_by_a_fifth_is_said(place, url, tmp_path):
    (candidate,) = put_candidates(place.store, 1)
    files = dataclasses.replace(place.network.files, name=candidate)
    said = []
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    for ms, expected in ((0.5, 0), (0.6, 1)):
        (tmp_path / "sitecustomize.py").write_text(_TIMED.format(ms=ms))
        with place.agent(url, environment={"PYTHONPATH": path}) as agent:
            agent.wait_for(REGISTERED)
            with AnchoredBench(place.bench(), place.store.anchor_references, say=said.append) as bench:
                bench.open(files)
                (artifact,) = bench.compile([files])
                outcomes = [bench.measure(files, artifact) for _ in range(6)]
        # Corrected by the anchor beside it, the latency itself stays what it was.
        assert [one.latency_p50_ms for one in outcomes] == [pytest.approx(0.5)] * 6
        assert len(said) == expected, said
    assert "phone/onnxruntime has drifted: it is 20% slower than when its anchor was first measured" in said[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "truncated"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "forged"),
        (lambda content: content + b"\0", "larger"),
    ],
    ids=["truncated", "forged", "longer"],
)
def test_files_that_are_not_what_was_signed_are_refused(place, url, change, message):
    def meddle(path: str, body: bytes) -> bytes:
        return change(body) if path.startswith("/v1/agents/files/") else body

    with _relay(url, meddle) as address, place.agent(address) as agent:
        agent.wait_for(REGISTERED)
        with pytest.raises(MeasuringError, match=message):
            place.bench().check(place.network)


def test_a_forged_task_is_not_run_and_an_agent_that_is_gone_is_said(place, url, threads):
    def meddle(path: str, body: bytes) -> bytes:
        return (
            body.replace(b'\\"kind\\": \\"check\\"', b'\\"kind\\": \\"time\\"') if path == "/v1/agents/claim" else body
        )

    with _relay(url, meddle) as address, place.agent(address) as agent:
        agent.wait_for(REGISTERED)
        asked = threads.submit(place.bench().check, place.network)
        assert "wrong signature, which was not run" in agent.wait_for("signature")
        place.store.agents.revoke("phone")
        with pytest.raises(AgentGoneError, match="was revoked"):
            asked.result()
        assert "no agent has this token" in agent.wait_for("no agent")


def test_an_agent_that_was_never_there_is_said(place, url):
    with place.agent(url) as agent:
        agent.wait_for(REGISTERED)
    place.clock.forward(100)
    workspace = Workspace(place.home, place.store)
    said = []
    bench = AgentBench(
        workspace, workspace.profile("phone/onnxruntime"), place.home.root, QUICK,
        waiting=AgentBenchSettings(patience_s=50), say=said.append,
    )  # fmt: skip
    with pytest.raises(AgentGoneError, match=r"was last seen \d+ s ago"):
        bench.check(place.network)


def test_hostile_artifacts_harm_nothing(place, url, tmp_path):
    (tmp_path / "site-packages").mkdir()
    port = url.rpartition(":")[2]
    outside = Path(__file__).with_name("written-by-an-artifact.txt")
    deeds = {
        "crash": ("crash", "SIGABRT"),
        "hang": ("timeout", "gave no result"),
        f"memory {3 << 30}": ("run", "memory refused"),
    }
    if working_bubblewrap() is not None:
        deeds |= {
            f"network {port}": ("run", "network refused"),
            f"write {outside}": ("run", "writing refused"),
            f"spy {place.token}": ("run", "no token found"),
        }
    with installed_hostile_runtime(tmp_path / "site-packages"), place.agent(url, "--memory-mb", "512") as agent:
        agent.wait_for(REGISTERED)
        settings = dataclasses.replace(QUICK, check_deadline_s=5.0)
        bench = place.bench(settings, "phone/hostile")
        (own,) = bench.compile([place.network.files])
        assert own.read_text().startswith("nothing xxx"), "compiled on the device, in parts over the wire"
        for deed, (stage, message) in deeds.items():
            artifact = tmp_path / "artifact.deed.txt"
            artifact.write_text(deed)
            failed = bench.check(CompiledNetwork(files=place.network.files, artifact=artifact))
            assert isinstance(failed, BenchFailure), deed
            assert (failed.stage, message in failed.message) == (stage, True), failed
        assert isinstance(bench.check(CompiledNetwork(files=place.network.files, artifact=own)), Agreement)
    assert not outside.exists()


@contextlib.contextmanager
def _relay(target: str, meddle, port: int = 0):
    """Passes requests on to a service and its answers back, changed."""
    client = httpx.Client(base_url=target, timeout=60)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers}
            answer = client.request(self.command, self.path, content=body, headers=headers)
            content = meddle(self.path.partition("?")[0], answer.content)
            with contextlib.suppress(OSError):
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
                if answer.status_code != httpx.codes.NO_CONTENT:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

    server = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        client.close()
