"""API keys: nobody without one, nothing without its scope, nothing of another tenant; also the log and the metrics."""

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from api.loopback import is_loopback
from api.metrics import ServiceMetrics
from api.server import running
from api.settings import ServiceSettings
from nas.home import Home
from nas.jobs import JobQueue
from nas.store import Store, open_store
from nas.store.api_keys import ApiKey, Scope
from nas.store.searches import SearchSpec, StoredGeneration, Trial
from tests.api.problems import problem_of
from tests.nas.store.rows import (
    PROFILE,
    SPACE,
    SUPERNET_ID,
    front_body,
    front_member,
    put_candidates,
    put_device,
    put_supernet,
)

SEARCH: dict[str, Any] = {"device": PROFILE.id, "space": SPACE.name}
CALIBRATION = {"device": PROFILE.id, "space": SPACE.name, "budget": 6}
PARETO = f"/v1/devices/{PROFILE.id}/pareto"


@dataclass(frozen=True, slots=True)
class Guarded:
    """A served store whose clients need keys."""

    store: Store
    url: str
    log: io.StringIO
    metrics: ServiceMetrics

    def client(self, tenant: str, *scopes: Scope) -> httpx.Client:
        return self.client_of(self.key(tenant, *scopes)[1])

    def key(self, tenant: str, *scopes: Scope) -> tuple[ApiKey, str]:
        return self.store.api_keys.create(name="test", tenant=tenant, scopes=frozenset(scopes))

    def client_of(self, text: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {text}"}, timeout=60)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    home = Home(Path(tmp_path_factory.mktemp("home")))
    log = io.StringIO()
    with open_store(home.root / "hwnas.db") as store:
        put_device(store)
        put_supernet(store)
        metrics = ServiceMetrics(store)
        settings = ServiceSettings(require_keys=True, access_log=log, metrics=metrics)
        with running(store, home, settings=settings) as url:
            yield Guarded(store, url, log, metrics)


def _finished(guarded: Guarded, search_id: str, seed: int) -> str:
    """Runs a queued search to a front of one network of its own; gives the network's id."""
    queue = JobQueue(guarded.store)
    job = queue.claim("here:1", kinds=("search",), lease_s=60)
    assert job is not None
    assert job.id == search_id
    spec = SearchSpec(
        id=job.id, profile_id=PROFILE.id, supernet_id=SUPERNET_ID, space=SPACE.name, settings={}, seed=seed,
        job_id=job.id,
    )  # fmt: skip
    guarded.store.searches.open(spec, lease=job.lease)
    (candidate,) = put_candidates(guarded.store, 1, seed=seed)
    trial = Trial(genotype=(seed,), candidate_id=candidate, state="complete", values=(1.0, 0.5))
    guarded.store.searches.append_generation(
        job.id, StoredGeneration(number=0, evaluations=1, trials=(trial,), notes={}), lease=job.lease
    )
    member = front_member(candidate, p95_ms=1.0 + seed / 10, size_bytes=9, accuracy=0.5 + seed / 100)
    guarded.store.fronts.add(job.id, front_body([member], seed=seed), lease=job.lease)
    queue.succeed(job.lease, {})
    return candidate


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer hwnas_0_x"},
        {"Authorization": "Basic abc"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer " + "x" * 5000},
        [("Authorization", "Bearer a"), ("Authorization", "Bearer b")],
    ],
)
def test_nobody_without_a_key(guarded: Guarded, headers: Any) -> None:
    response = httpx.get(f"{guarded.url}/v1/devices", headers=headers)
    problem_of(response, 401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("Bearer")
    for path in ("/livez", "/readyz", "/docs", "/openapi.json"):
        assert httpx.get(guarded.url + path, headers=headers).status_code == 200


def test_a_key_is_stored_as_its_hash_and_can_be_revoked(guarded: Guarded) -> None:
    key, text = guarded.key("a", "read")
    folder = Path(guarded.store.database.url.database or "").parent
    assert text.encode() not in b"".join(path.read_bytes() for path in folder.glob("hwnas.db*"))
    with guarded.client_of(text) as client:
        assert client.get("/v1/devices").status_code == 200
        guarded.store.api_keys.revoke(key.id)
        problem_of(client.get("/v1/devices"), 401, "unauthorized")
    assert guarded.store.api_keys.find_active(text) is None


def test_a_key_that_is_revoked_right_after_its_first_use_is_refused(guarded: Guarded) -> None:
    """SQLite's files change all the time here, so that nothing tells one commit from the next."""
    for number in range(10):
        key, text = guarded.key(f"k{number}", "read")
        with guarded.client_of(text) as client:
            assert client.get("/v1/devices").status_code == 200
            guarded.store.api_keys.revoke(key.id)
            problem_of(client.get("/v1/devices"), 401, "unauthorized")


def test_each_scope_allows_what_it_names(guarded: Guarded) -> None:
    asked = {
        "read": lambda client: client.get("/v1/searches"),
        "submit": lambda client: client.post("/v1/searches", json=SEARCH),
        "calibrate": lambda client: client.post(f"/v1/devices/{PROFILE.id}/calibrations", json={"space": SPACE.name}),
    }
    for scopes in (("read",), ("submit", "read"), ("calibrate", "read"), ("admin",), ()):
        with guarded.client("scopes", *scopes) as client:
            for name, ask in asked.items():
                allowed = name in scopes or "admin" in scopes
                answer = ask(client)
                assert answer.status_code == ((200 if name == "read" else 202) if allowed else 403), (scopes, name)
                if not allowed:
                    problem_of(answer, 403, "missing-scope")
    with guarded.client("scopes", "read", "submit") as client:
        for body in ({"calibrations": [CALIBRATION]}, {"searches": [SEARCH], "calibrations": [CALIBRATION]}):
            problem_of(client.post("/v1/batches", json=body), 403, "missing-scope")
        assert client.post("/v1/batches", json={"searches": [SEARCH]}).status_code == 202
        problem_of(client.delete(f"/v1/predictors/{'0' * 64}"), 403, "missing-scope")
    queue = JobQueue(guarded.store)
    for job in queue.all(state="queued"):
        queue.cancel(job.id)


def test_nothing_of_another_tenant_is_there(guarded: Guarded) -> None:
    scopes: tuple[Scope, ...] = ("read", "submit", "calibrate")
    with guarded.client("one", *scopes) as one, guarded.client("two", *scopes) as two:
        mine = one.post("/v1/searches", json=SEARCH, headers={"Idempotency-Key": "same"}).json()
        candidate = _finished(guarded, mine["id"], seed=1)
        theirs = two.post("/v1/searches", json=SEARCH, headers={"Idempotency-Key": "same"}).json()
        assert theirs["id"] != mine["id"], "idempotency keys are the tenant's own"
        other = _finished(guarded, theirs["id"], seed=2)
        front = one.get(mine["url"]).json()["front"]
        batch = one.post("/v1/batches", json={"searches": [SEARCH], "calibrations": [CALIBRATION]}).json()
        owned = [mine["url"], front, batch["url"], f"/v1/candidates/{candidate}", *(m["url"] for m in batch["members"])]
        for url in owned:
            assert one.get(url).status_code == 200, url
            assert two.get(url).status_code == 404, url
        routes = [route for route in _routes(guarded) if "{" in route[1]]
        assert len(routes) > 15
        ids = {
            "search_id": mine["id"], "calibration_id": batch["members"][1]["id"], "batch_id": batch["id"],
            "front_id": front.rsplit("/", 1)[1], "candidate_id": candidate,
        }  # fmt: skip
        for method, path in routes:
            name = re.findall(r"{(\w+)}", path)[0]
            if name in ids:
                answer = two.request(method, path.replace(f"{{{name}}}", ids[name]))
                assert answer.status_code == 404, (method, path)
        for name, entry in (
            ("searches", mine["id"]),
            ("fronts", ids["front_id"]),
            ("batches", batch["id"]),
            ("candidates", candidate),
            ("calibrations", ids["calibration_id"]),
        ):
            listed = [client.get(f"/v1/{name}", params={"page_size": 200}).json()[name] for client in (one, two)]
            assert [entry in {found["id"] for found in entries} for entries in listed] == [True, False]
        for _ in range(2):  # the second answers come from memory
            for client, network in ((one, candidate), (two, other)):
                assert [member["candidate"] for member in client.get(PARETO).json()["members"]] == [network]
        with guarded.client("admin's", "admin") as admin:
            assert {member["candidate"] for member in admin.get(PARETO).json()["members"]} == {candidate, other}
            assert admin.post(f"{batch['url']}:cancel").json()["state"] == "cancelled"


def _routes(guarded: Guarded) -> list[tuple[str, str]]:
    paths = httpx.get(f"{guarded.url}/openapi.json").json()["paths"]
    return [(method.upper(), path) for path, operations in paths.items() for method in operations]


def test_what_belongs_to_nobody_is_seen_by_all_and_changed_by_administrators(guarded: Guarded) -> None:
    job = JobQueue(guarded.store).enqueue("calibration", CALIBRATION)
    with guarded.client("one", "read", "calibrate") as client:
        assert client.get(f"/v1/calibrations/{job.id}").status_code == 200
        problem_of(client.post(f"/v1/calibrations/{job.id}:cancel"), 403, "not-owner")
    with guarded.client("one", "admin") as client:
        assert client.post(f"/v1/calibrations/{job.id}:cancel").json()["state"] == "cancelled"
        assert client.delete(f"/v1/calibrations/{job.id}").status_code == 204


def test_files_that_need_a_key_are_for_the_client_alone(guarded: Guarded) -> None:
    front = guarded.store.fronts.all()[0]
    with guarded.client("one", "admin") as client:
        assert client.get(f"/v1/fronts/{front.id}").headers["cache-control"].startswith("private")


def test_the_access_log_names_the_key_and_no_secret(guarded: Guarded) -> None:
    key, text = guarded.key("log", "read")
    with guarded.client_of(text) as client:
        client.get("/v1/devices", params={"private": "1"})
    lines = [json.loads(line) for line in guarded.log.getvalue().splitlines()]
    (line,) = [line for line in lines if line["key"] == key.id]
    assert (line["method"], line["path"], line["status"], line["client"]) == ("GET", "/v1/devices", 422, "127.0.0.1")
    assert line["bytes"] > 0
    assert text not in guarded.log.getvalue()
    assert "private" not in guarded.log.getvalue()


def test_metrics_have_a_port_of_their_own(guarded: Guarded) -> None:
    JobQueue(guarded.store).enqueue("search", SEARCH)
    with guarded.client("metrics", "read") as client:
        client.get(f"/v1/searches/{'0' * 32}")
        client.head("/v1/devices")
    with guarded.metrics.served("127.0.0.1", 0) as port:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert 'hwnas_http_requests_total{method="GET",route="/v1/searches/{search_id:segment}",status="404"} ' in text
    assert 'hwnas_http_requests_total{method="HEAD",route="/v1/devices",status="200"} ' in text
    assert 'hwnas_jobs{kind="search",state="queued"} ' in text
    assert "hwnas_database_up 1.0" in text
    assert httpx.get(f"{guarded.url}/metrics").status_code == 401, "not among the service's own addresses"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("example.org", False)],
)  # fmt: skip
def test_addresses_that_only_this_machine_reaches(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_what_is_not_asked_for_is_not_in_the_way(tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store:
        app = create_app(store=store, home=Home(tmp_path))
        layers = []
        around = ServiceSettings().around(app, store)
        while around is not app:
            layers.append(type(around).__name__)
            around = around._app
        assert layers == ["TraceContext", "KnownHosts"]
