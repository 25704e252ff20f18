"""Traces of requests, and the audit trail of those that changed something."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from api.server import running
from api.settings import ServiceSettings
from api.trace_context import parse_traceparent
from nas.home import Home
from nas.jobs.queue import JobQueue
from nas.store import Store, open_store
from tests.nas.store.rows import PROFILE, SPACE, put_device, put_supernet

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
        key, text = store.api_keys.create(name="test", tenant="vision", scopes=frozenset(("read", "submit")))
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
        (f"POST {url}:cancel", f"{url}:cancel"),
        (f"DELETE {url}", url),
    ]
    assert {(entry.actor, entry.tenant) for entry in entries} == {(f"key {logged.key_id}", "vision")}
    assert entries[0].trace_id == TRACE
    assert logged.store.audit.last(1) == (entries[-1],)
    assert logged.store.audit.last(10, since=entries[-1].made_at) == (entries[-1],)


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
