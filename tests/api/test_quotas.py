"""Priorities and quotas over HTTP: 429 with Retry-After where waiting helps, 403 where it does not."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from api.server import running
from api.settings import ServiceSettings
from nas.home import Home
from nas.jobs import JobQueue
from nas.store import Store, open_store
from nas.store.api_keys import KeyQuota, Scope
from tests.api.problems import problem_of, wrong_fields
from tests.nas.store.rows import PROFILE, SPACE, put_device, put_supernet

SEARCH: dict[str, Any] = {"device": PROFILE.id, "space": SPACE.name, "evaluations": 10}
CALIBRATION: dict[str, Any] = {"device": PROFILE.id, "space": SPACE.name, "budget": 5}


class Guarded:
    """A served store whose clients need keys."""

    def __init__(self, store: Store, url: str, stack: ExitStack) -> None:
        self.store = store
        self._url = url
        self._stack = stack

    def client(self, *scopes: Scope, **quota: int) -> httpx.Client:
        key = self.store.api_keys.create(
            name="test",
            tenant="t",
            scopes=frozenset(scopes or ("read", "submit", "calibrate")),
            quota=KeyQuota(**quota),
        )
        client = httpx.Client(base_url=self._url, headers={"Authorization": f"Bearer {key[1]}"}, timeout=60)
        return self._stack.enter_context(client)


@pytest.fixture
def guarded(tmp_path) -> Iterator[Guarded]:
    with ExitStack() as stack:
        store = stack.enter_context(open_store(tmp_path / "hwnas.db"))
        put_device(store)
        put_supernet(store)
        url = stack.enter_context(running(store, Home(tmp_path), settings=ServiceSettings(require_keys=True)))
        yield Guarded(store, url, stack)


def test_jobs_of_a_key_wait_up_to_its_quota(guarded: Guarded) -> None:
    client = guarded.client(max_queued=2)
    for _ in range(2):
        assert client.post("/v1/searches", json=SEARCH).status_code == 202
    refused = client.post("/v1/searches", json=SEARCH, headers={"Idempotency-Key": "later"})
    problem_of(refused, 429, "quota-exceeded")
    assert int(refused.headers["retry-after"]) > 0
    assert guarded.client().post("/v1/searches", json=SEARCH).status_code == 202, "another key has its own"
    batch = {"searches": [SEARCH] * 3}
    problem_of(guarded.client(max_queued=2).post("/v1/batches", json=batch), 403, "beyond-quota")
    job = JobQueue(guarded.store).claim("here:1", kinds=("search",), lease_s=60)
    assert job is not None
    again = client.post("/v1/searches", json=SEARCH, headers={"Idempotency-Key": "later"})
    assert again.status_code == 202, "a refused request leaves its idempotency key unused"


def test_unfinished_uploads_and_trainings_count_as_waiting(guarded: Guarded) -> None:
    client = guarded.client(max_queued=2)
    announced = {"name": "flowers", "size_bytes": 5, "sha256": "a" * 64}
    assert client.post("/v1/supernets", json={"data": "fashion-mini"}).status_code == 202
    begun = client.post("/v1/data-sets", json=announced)
    assert begun.status_code == 201
    refused = client.post("/v1/data-sets", json=announced | {"name": "more"})
    problem_of(refused, 429, "quota-exceeded")
    assert int(refused.headers["retry-after"]) > 0
    problem_of(client.post("/v1/batches", json={"searches": [SEARCH]}), 429, "quota-exceeded")
    assert client.post("/v1/data-sets", json=announced).status_code == 200
    assert client.delete(begun.json()["url"]).status_code == 204
    assert client.post("/v1/batches", json={"searches": [SEARCH]}).status_code == 202


def test_measurements_of_a_key_are_limited(guarded: Guarded) -> None:
    client = guarded.client(max_measurements_per_day=19)
    assert client.post("/v1/searches", json=SEARCH).status_code == 202
    refused = client.post("/v1/searches", json=SEARCH)
    problem_of(refused, 429, "quota-exceeded")
    assert int(refused.headers["retry-after"]) > 0
    problem_of(client.post("/v1/searches", json=SEARCH | {"random_baseline": True}), 403, "beyond-quota")
    path = f"/v1/devices/{PROFILE.id}/calibrations"
    assert client.post(path, json={"space": SPACE.name, "budget": 9}).status_code == 202
    assert client.post(path, json={"space": SPACE.name, "budget": 5}).status_code == 429


def test_priorities_order_the_queue_and_keys_limit_them(guarded: Guarded) -> None:
    plain, admin = guarded.client(), guarded.client("admin")
    first = plain.post("/v1/searches", json=SEARCH).json()
    problem_of(plain.post("/v1/searches", json=SEARCH | {"priority": 1}), 403, "beyond-quota")
    urgent = admin.post("/v1/searches", json=SEARCH | {"priority": 100}).json()
    batch = admin.post(
        "/v1/batches", json={"searches": [SEARCH | {"priority": -1}], "calibrations": [CALIBRATION | {"priority": 3}]}
    ).json()
    assert (first["priority"], urgent["priority"]) == (0, 100)
    assert (first["host"], urgent["host"]) == (PROFILE.device, PROFILE.device)
    assert "priority" not in urgent["request"]
    low, calibration = batch["members"]
    claims = [JobQueue(guarded.store).claim("w", kinds=("search", "calibration"), lease_s=60) for _ in range(4)]
    assert [job and job.id for job in claims] == [urgent["id"], calibration["id"], first["id"], low["id"]]
    for wrong in (101, -101, 1.5, "high"):
        assert wrong_fields(admin.post("/v1/searches", json=SEARCH | {"priority": wrong})) == ["priority"]


def test_positions_follow_priorities(guarded: Guarded) -> None:
    client = guarded.client(max_priority=5)
    low = client.post("/v1/searches", json=SEARCH).json()
    high = client.post("/v1/searches", json=SEARCH | {"priority": 5}).json()
    assert (low["queue_position"], high["queue_position"]) == (1, 1)
    assert client.get(low["url"]).json()["queue_position"] == 2
