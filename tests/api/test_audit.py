"""Traces of requests, and the audit trail of those that changed something."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.server import running
from api.settings import ServiceSettings
from api.trace_context import parse_traceparent
from nas.home import Home
from nas.jobs.queue import JobQueue
from nas.store import Store, open_store
from tests.nas.store.rows import PROFILE, SPACE, put_device, put_supernet
from tests.npz_files import npz_bytes

SEARCH = {"device": PROFILE.id, "space": SPACE.name}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@dataclass(frozen=True, slots=True)
class Logged:
    client: httpx.Client
    store: Store
    log: io.StringIO
    key_id: str


@pytest.fixture
def logged(tmp_path: Path, new_database: Callable[[str], str]) -> Iterator[Logged]:
    log = io.StringIO()
    settings = ServiceSettings(require_keys=True, access_log=log)
    with (
        open_store(new_database("sqlite")) as store,
        running(store, Home(tmp_path), settings=settings) as url,
    ):
        put_device(store)
        put_supernet(store)
        key, text = store.api_keys.create(
            name="test", tenant="vision", scopes=frozenset(("read", "submit", "calibrate"))
        )
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {text}"}) as client:
            yield Logged(client, store, log, key.id)


def test_a_trace_goes_from_the_request_to_the_log_and_the_job(logged: Logged) -> None:
    job = logged.client.post("/v1/searches", json=SEARCH, headers={"traceparent": TRACEPARENT}).json()
    assert job["trace_id"] == JobQueue(logged.store).get(job["id"]).trace_id == TRACE
    other = logged.client.post("/v1/searches", json=SEARCH, headers={"traceparent": "nonsense"}).json()
    assert len(other["trace_id"]) == 32
    logged.client.get(job["url"], headers={"traceparent": TRACEPARENT})
    traces = [json.loads(line)["trace"] for line in logged.log.getvalue().splitlines()]
    assert traces == [TRACE, other["trace_id"], TRACE]


def test_changes_are_recorded_with_who_made_them(logged: Logged) -> None:
    headers = {"traceparent": TRACEPARENT, "Idempotency-Key": "night-1"}
    url = logged.client.post("/v1/searches", json=SEARCH, headers=headers).json()["url"]
    assert logged.client.post("/v1/searches", json=SEARCH, headers=headers).headers["idempotency-replayed"] == "true"
    assert logged.client.get(url).status_code == 200
    assert logged.client.post("/v1/searches", json={}).status_code == 422
    assert logged.client.post(f"{url}:cancel").status_code == 200
    assert logged.client.delete(url).status_code == 204
    assert logged.client.delete(url).status_code == 404
    entries = logged.store.audit.last(10)[::-1]
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("POST /v1/searches", url),
        (f"POST {url}:cancel", url),
        (f"DELETE {url}", url),
    ]
    assert {(entry.actor, entry.tenant) for entry in entries} == {(f"key {logged.key_id}", "vision")}
    assert entries[0].trace_id == TRACE
    assert logged.store.audit.last(1) == (entries[-1],)
    assert logged.store.audit.last(10, since=entries[-1].made_at) == (entries[-1],)


def test_a_change_that_cannot_be_recorded_is_not_made(logged: Logged) -> None:
    url = logged.client.post("/v1/searches", json=SEARCH).json()["url"]
    with logged.store.database.connection() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER unrecorded BEFORE INSERT ON audit_entries BEGIN SELECT RAISE(ABORT, 'unrecorded'); END"
        )
    changes = (
        ("POST", "/v1/searches", SEARCH),
        ("POST", f"/v1/devices/{PROFILE.id}/calibrations", {"space": SPACE.name, "budget": 6}),
        ("POST", "/v1/batches", {"searches": [SEARCH]}),
        ("POST", "/v1/supernets", {}),
        ("POST", "/v1/data-sets", {"name": "x", "size_bytes": 1, "sha256": "a" * 64}),
        ("POST", f"{url}:cancel", None),
    )
    for method, path, body in changes:
        assert logged.client.request(method, path, json=body).status_code >= 500, path
    assert [(job.id, job.state) for job in JobQueue(logged.store).all()] == [(url.rpartition("/")[2], "queued")]
    for many in ("batches", "data-sets"):
        assert logged.client.get(f"/v1/{many}").json()[many.replace("-", "_")] == []


def test_each_change_is_recorded_once(logged: Logged) -> None:
    def changed(method: str, path: str, **more: Any) -> httpx.Response:
        before = len(logged.store.audit.last(100))
        answer = logged.client.request(method, path, **more)
        assert answer.is_success, answer.text
        assert len(logged.store.audit.last(100)) == before + 1, (method, path)
        return answer

    calibration = {"space": SPACE.name, "budget": 6}
    for path, body in (
        ("/v1/searches", SEARCH),
        (f"/v1/devices/{PROFILE.id}/calibrations", calibration),
        ("/v1/supernets", {}),
        ("/v1/batches", {"searches": [SEARCH], "calibrations": [{"device": PROFILE.id, **calibration}]}),
    ):
        url = changed("POST", path, json=body).headers["location"]
        assert logged.store.audit.last(1)[0].subject == url
        changed("POST", f"{url}:cancel")
        changed("DELETE", url)
    content = npz_bytes()
    begun = {"name": "x", "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    url = changed("POST", "/v1/data-sets", json=begun).headers["location"]
    sent = {"Upload-Offset": "0", "Content-Type": "application/octet-stream"}
    changed("PATCH", url, content=content, headers=sent)
    changed("DELETE", url)


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        (TRACEPARENT, TRACE),
        (f"01-{TRACE}-00f067aa0ba902b7-01-more", TRACE),
        (f"00-{TRACE}-00f067aa0ba902b7-01-more", None),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (TRACEPARENT.upper(), None),
        ("", None),
    ],
)
def test_traceparent(value: str, trace: str | None) -> None:
    assert parse_traceparent(value.encode()) == trace
