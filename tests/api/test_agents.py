"""The routes of agents: who may ask, and what is refused; tests/nas/measuring has agents that really measure."""

import hashlib
import json

import httpx
import pytest

from hw_profiles.agent.tasks import PROTOCOL, AgentTask, BuiltArtifact, TaskFile, TaskNetwork
from hw_profiles.agent.tokens import AgentToken, is_signed
from hw_profiles.detect import resolve_profile
from hw_profiles.measuring_settings import MeasuringSettings
from nas.measuring.agent_uploads import upload_path
from tests.api.problems import problem_of

LOCAL = resolve_profile("local-cpu/onnxruntime")
ABOUT = {
    "protocol": PROTOCOL, "version": "0.1.0", "installation": "1" * 32, "confinement": "limits",
    "profiles": [LOCAL.as_json(), LOCAL.as_json() | {"runtime": "abacus"}],
}  # fmt: skip


class Phone:
    """An agent's side of the exchange, without a runtime."""

    def __init__(self, service, name):
        self.store = service.store
        self.token = AgentToken.parse(service.store.agents.create(name).reveal())
        self.client = httpx.Client(
            base_url=service.url, headers={"Authorization": f"Bearer {self.token.authentication_key}"}
        )
        self.profile = LOCAL.on_host(name)

    def register(self, **changes):
        return self.client.post("/v1/agents/register", json=ABOUT | changes)

    def claim(self, session, **changes):
        body = {"session": session, "fingerprints": {self.profile.id: self.profile.fingerprint}, "wait_s": 0.0}
        return self.client.post("/v1/agents/claim", json=body | changes)

    def add(self, path):
        content = path.read_bytes()
        onnx = TaskFile(sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content), suffix=".onnx")
        tolerances = dict.fromkeys(
            ("relative_tolerance", "quantized_tolerance", "quantized_median_tolerance", "min_top1_agreement"), 0.5
        )
        agent = self.store.agents.find(self.profile.device)
        network = TaskNetwork(name="network", quantized=False, files={"onnx": onnx}, tolerances=tolerances)
        task = AgentTask(
            number=0, fence=0, agent=agent.id, kind="compile", profile=self.profile, settings=MeasuringSettings(),
            network=network,
        )  # fmt: skip
        return self.store.agent_tasks.add(task, {onnx.sha256: path})


@pytest.fixture
def phone(service, request):
    made = Phone(service, f"phone-{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}")
    with made.client:
        yield made


def test_a_session_from_registration_to_report(service, phone, tmp_path):
    registered = phone.register()
    assert registered.status_code == 200
    session = registered.json()
    assert session["devices"] == [phone.profile.id]
    assert ["runtime abacus is not installed" in note for note in session["notes"]] == [True]
    assert phone.profile.id in {row["id"] for row in service.client.get("/v1/devices").json()["devices"]}
    assert phone.claim(session["session"]).status_code == 204

    graph = tmp_path / "network.onnx"
    graph.write_bytes(b"a graph")
    number = phone.add(graph)
    claimed = phone.claim(session["session"]).json()
    assert is_signed(phone.token.signing_key, claimed["task"].encode(), claimed["signature"])
    task = AgentTask.from_bytes(claimed["task"].encode())
    assert (task.number, task.fence, task.profile) == (number, 1, phone.profile)
    assert str(tmp_path) not in claimed["task"]

    sha256 = task.network.files["onnx"].sha256
    assert phone.client.get(f"/v1/agents/files/{sha256}").content == b"a graph"
    problem_of(phone.client.get(f"/v1/agents/files/{service.artifact}"), 404, "unknown-file")
    graph.write_bytes(b"a grape")
    problem_of(phone.client.get(f"/v1/agents/files/{sha256}"), 410, "file-gone")

    address = f"/v1/agents/tasks/{number}"
    assert phone.client.post(f"{address}/heartbeat", json={"fence": 1}).status_code == 204
    for offset, part in ((0, b"abc"), (3, b"xx"), (3, b"def")):
        put = phone.client.put(f"{address}/artifact", params={"fence": 1, "offset": offset}, content=part)
        assert put.status_code == 204
    problem_of(phone.client.put(f"{address}/artifact", params={"fence": 1, "offset": 9}, content=b"x"), 422, "usage")
    assert upload_path(service.home, (number, 1)).read_bytes() == b"abcdef"

    built = {"artifact": {"sha256": "b" * 64, "size_bytes": 6, "warnings": []}}
    for fence in (2, 0):
        report = phone.client.post(f"{address}/report", json={"fence": fence, "outcome": built})
        problem_of(report, 409 if fence else 422, "task-lost" if fence else "invalid-request")
    assert phone.client.post(f"{address}/report", json={"fence": 1, "outcome": built}).status_code == 204
    assert service.store.agent_tasks.poll(number).outcome == BuiltArtifact(sha256="b" * 64, size_bytes=6)
    problem_of(phone.client.post(f"{address}/heartbeat", json={"fence": 1}), 409, "task-lost")


@pytest.mark.parametrize(
    "outcome",
    [
        {},
        {"timing": {}},
        {"timing": 1},
        {"failure": {"stage": "party", "message": "x"}},
        {"failure": {"stage": "run", "message": 1}},
        {"agreement": {"max_abs_error": 0, "top1_agreement": 2}},
        {"artifact": {"sha256": "../../etc", "size_bytes": 1}},
        {"fault": {"code": "x", "message": "y"}},
        {"timing": {}, "fault": {}},
    ],
)
def test_impossible_reports_are_refused(phone, outcome):
    report = phone.client.post("/v1/agents/tasks/1/report", json={"fence": 1, "outcome": outcome})
    problem_of(report, 422, "invalid-request")


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("POST", "/v1/agents/register"),
        ("POST", "/v1/agents/claim"),
        ("POST", "/v1/agents/tasks/1/heartbeat"),
        ("POST", "/v1/agents/tasks/1/report"),
        ("GET", f"/v1/agents/files/{'a' * 64}"),
        ("PUT", "/v1/agents/tasks/1/artifact?fence=1&offset=0"),
    ],
)
def test_nobody_gets_in_without_a_token(service, method, address):
    for headers in ({}, {"Authorization": f"Bearer {AgentToken.new().authentication_key}"}):
        answer = service.client.request(method, address, headers=headers, json={} if method == "POST" else None)
        problem_of(answer, 401, "unknown-agent")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_other_versions_sessions_and_numbers_are_refused(phone):
    for protocol, what in ((PROTOCOL - 1, "upgrade the agent"), (PROTOCOL + 1, "upgrade the service")):
        document = problem_of(phone.register(protocol=protocol, news=1), 409, "agent-version")
        assert what in document["detail"]
    session = phone.register().json()["session"]
    problem_of(phone.register(installation="2" * 32), 409, "agent-busy")
    newer = phone.register().json()["session"]
    assert newer == session + 1
    problem_of(phone.claim(session), 409, "agent-superseded")
    problem_of(phone.register(profiles=[{}]), 422, "invalid-request")
    problem_of(phone.client.post(f"/v1/agents/tasks/{2**70}/heartbeat", json={"fence": 1}), 404, "unknown-task")


def test_the_documents_say_what_the_routes_take(service):
    paths = json.loads(service.client.get("/openapi.json").content)["paths"]
    assert {"200", "204"} <= paths["/v1/agents/claim"]["post"]["responses"].keys()
    assert all(
        "security" in operation for path, item in paths.items() if "/agents/" in path for operation in item.values()
    )
