"""Listing, following, cancelling and deleting jobs over HTTP, with their events and idempotency keys."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.server import running
from api.settings import ServiceSettings
from hw_profiles.measurement import MeasurementFailure
from nas.home import Home
from nas.jobs import JobQueue
from nas.jobs.events import KEPT_EVENTS, JobEvents, record_event
from nas.store import Store, open_store
from nas.store.searches import SearchSpec, StoredGeneration, Trial
from nas.store.tables import JobRow
from tests.api.problems import problem_of, wrong_fields
from tests.databases import SteppedClock
from tests.nas.store.rows import (
    PROFILE,
    SPACE,
    SUPERNET_ID,
    front_body,
    front_member,
    measurement,
    open_search,
    put_candidates,
    put_device,
    put_supernet,
)

SEARCH: dict[str, Any] = {"device": PROFILE.id, "space": SPACE.name}
CALIBRATIONS = f"/v1/devices/{PROFILE.id}/calibrations"
MAX_QUEUED = 110


@dataclass(frozen=True, slots=True)
class Jobs:
    """A served store on a clock that moves when told."""

    client: httpx.Client
    store: Store
    queue: JobQueue
    clock: SteppedClock

    def post(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        return self.client.post(
            path, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    def search(self, **fields: Any) -> dict[str, Any]:
        return self._accepted("/v1/searches", SEARCH | fields)

    def calibration(self) -> dict[str, Any]:
        return self._accepted(CALIBRATIONS, {"space": SPACE.name})

    def get(self, url: str, **params: Any) -> dict[str, Any]:
        answer = self.client.get(url, params=params)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def claim(self, worker: str = "here:1") -> Any:
        job = self.queue.claim(worker, kinds=("search", "calibration"), lease_s=60)
        assert job is not None
        return job

    def _accepted(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.clock.forward(1)  # jobs of one moment are claimed in the order of their random ids
        answer = self.client.post(path, json=body)
        assert answer.status_code == 202, answer.text
        document: dict[str, Any] = answer.json()
        return document


_ON_BOTH = pytest.mark.parametrize("jobs", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def jobs(request: pytest.FixtureRequest, tmp_path: Path, new_database: Callable[[str], str]) -> Iterator[Jobs]:
    clock = SteppedClock()
    url = new_database(getattr(request, "param", "sqlite"))
    settings = ServiceSettings(max_queued=MAX_QUEUED)
    with (
        open_store(url, clock=clock) as store,
        running(store, Home(tmp_path), settings=settings) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        put_device(store)
        put_supernet(store)
        yield Jobs(client, store, JobQueue(store), clock)


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Server-sent events, parsed."""
    event: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if not line and event:
            yield event | {"data": json.loads(event["data"])}
            event = {}
        elif name:
            event[name] = value


@_ON_BOTH
def test_a_job_says_where_it_is(jobs: Jobs) -> None:
    first, second = jobs.search(), jobs.calibration()
    assert [jobs.get(job["url"])["queue_position"] for job in (first, second)] == [1, 2]
    job = jobs.claim()
    jobs.clock.forward(5)
    jobs.queue.report(job.lease, {"task": "search on x", "done": 1, "total": 4, "total_progress": 0.25})
    answer = jobs.get(first["url"])
    assert (answer["queue_position"], answer["worker"], answer["state"]) == (None, "here:1", "running")
    assert (answer["phase"], answer["total_progress"]) == ("search on x", 0.25)
    assert answer["progress"] == {"task": "search on x", "done": 1, "total": 4}
    assert answer["heartbeat_at"].startswith("2026-01-01T00:00:07")
    assert jobs.get(second["url"])["queue_position"] == 1
    jobs.queue.succeed(job.lease, {})
    assert jobs.get(first["url"])["total_progress"] == 1.0


@_ON_BOTH
def test_failed_and_noisy_evaluations_are_counted(jobs: Jobs) -> None:
    search = jobs.search()
    ids = put_candidates(jobs.store, 3)
    job = jobs.claim()
    spec = SearchSpec(
        id=job.id, profile_id=PROFILE.id, supernet_id=SUPERNET_ID, space=SPACE.name, settings={}, seed=1, job_id=job.id
    )
    jobs.store.searches.open(spec, lease=job.lease)
    trials = tuple(
        Trial(genotype=(number,), candidate_id=ids[number], state=state, values=None if state == "failed" else (1.0,))
        for number, state in enumerate(("complete", "failed", "failed"))
    )
    jobs.store.searches.append_generation(
        job.id, StoredGeneration(number=0, evaluations=3, trials=trials, notes={}), lease=job.lease
    )
    jobs.store.measurements.add(replace(measurement(ids[0]), quality="noisy"), lease=job.lease)
    jobs.store.measurements.add(measurement(ids[1]))  # of nobody's job
    answer = jobs.get(search["url"])
    assert (answer["evaluations"], answer["evaluations_failed"], answer["evaluations_noisy"]) == (3, 2, 1)
    jobs.queue.succeed(job.lease, {})

    calibration = jobs.calibration()
    job = jobs.claim()
    failure = MeasurementFailure(
        candidate_id=ids[2], profile_id=PROFILE.id, fingerprint=PROFILE.fingerprint, stage="compile",
        message="no kernel", measured_at="2026-01-01T00:00:00+00:00",
    )  # fmt: skip
    jobs.store.measurements.add(failure, lease=job.lease)
    jobs.store.measurements.add(measurement(ids[0]), lease=job.lease)
    answer = jobs.get(calibration["url"])
    assert (answer["evaluations"], answer["evaluations_failed"], answer["evaluations_noisy"]) == (2, 1, 0)


@_ON_BOTH
@pytest.mark.parametrize("page_size", [2])
def test_every_list_has_pages_without_gaps(jobs: Jobs, page_size: int) -> None:
    open_search(jobs.store)
    ids = put_candidates(jobs.store, 3)
    for number in range(3):
        jobs.clock.forward(1)
        jobs.calibration()
        jobs.store.fronts.add("search-1", front_body([front_member(ids[number], p95_ms=1, size_bytes=9, accuracy=0.5)]))
        put_supernet(jobs.store, str(number) * 64)
        jobs.post("/v1/batches", {"searches": [SEARCH], "name": str(number)})
    for name in ("searches", "calibrations", "batches", "fronts", "candidates", "supernets", "predictors"):
        whole = jobs.get(f"/v1/{name}", page_size=200)[name]
        moments = [(entry["created_at"], entry["id"]) for entry in whole]
        assert moments == sorted(moments, reverse=True)
        assert all(jobs.client.get(entry["url"]).status_code == 200 for entry in whole)
        url, found = f"/v1/{name}?page_size={page_size}", []
        while url:
            answer = jobs.client.get(url)
            found += answer.json()[name]
            url = answer.links.get("next", {}).get("url", "")
            assert bool(url) == (answer.json()["next_page_token"] is not None)
        assert [entry["id"] for entry in found] == [entry["id"] for entry in whole], name
    assert len(jobs.get("/v1/calibrations", state="queued", device=PROFILE.id, space=SPACE.name)["calibrations"]) == 3
    assert jobs.get("/v1/calibrations", state="running")["calibrations"] == []
    assert len(jobs.get("/v1/fronts", search="search-1", device=PROFILE.id, space=SPACE.name)["fronts"]) == 3
    assert jobs.get("/v1/fronts", search="search-2")["fronts"] == []
    assert jobs.get("/v1/searches", space="nasbench201")["searches"] == []
    for kind in ("searches", "calibrations"):
        assert wrong_fields(jobs.client.get(f"/v1/{kind}", params={"space": "resnet"})) == ["space"]
    assert jobs.get("/v1/supernets", data="nothing")["supernets"] == []
    assert wrong_fields(jobs.client.get("/v1/candidates", params={"page_token": "x"})) == ["page_token"]
    assert wrong_fields(jobs.client.get("/v1/fronts", params={"space": "resnet"})) == ["space"]


def test_a_calibration_is_cancelled_like_a_search(jobs: Jobs) -> None:
    running, queued = jobs.calibration(), jobs.calibration()
    job = jobs.claim()
    for url, state, asked in ((running["url"], "running", True), (queued["url"], "cancelled", False)):
        answer = jobs.client.post(f"{url}:cancel").json()
        assert (answer["state"], answer["cancel_requested"]) == (state, asked)
    jobs.queue.mark_cancelled(job.lease)
    assert jobs.get(running["url"])["state"] == "cancelled"
    problem_of(jobs.client.post("/v1/calibrations/none:cancel"), 404, "unknown-calibration")


@_ON_BOTH
def test_what_is_referred_to_or_still_runs_is_not_deleted(jobs: Jobs) -> None:
    search, calibration = jobs.search(), jobs.calibration()
    for job in (search, calibration):
        problem_of(jobs.client.delete(job["url"]), 409, "still-active")
    claimed = jobs.claim()
    spec = SearchSpec(
        id=claimed.id, profile_id=PROFILE.id, supernet_id=SUPERNET_ID, space=SPACE.name, settings={}, seed=1,
        job_id=claimed.id,
    )  # fmt: skip
    jobs.store.searches.open(spec, lease=claimed.lease)
    (candidate,) = put_candidates(jobs.store, 1)
    number = jobs.store.measurements.add(measurement(candidate), lease=claimed.lease)
    front = jobs.store.fronts.add(
        claimed.id, front_body([front_member(candidate, p95_ms=1, size_bytes=9, accuracy=0.5)])
    )
    jobs.queue.succeed(claimed.lease, {"front": front.id})
    refused = problem_of(jobs.client.delete(search["url"]), 409, "still-referenced")
    assert refused["referrers"] == [f"/v1/fronts/{front.id}"]
    for url in (f"/v1/fronts/{front.id}", search["url"]):
        assert jobs.client.delete(url).status_code == 204
        assert jobs.client.get(url).status_code == jobs.client.delete(url).status_code == 404
    assert jobs.store.measurements.last_number() == number, "measurements are kept"
    jobs.client.post(f"{calibration['url']}:cancel")
    assert jobs.client.delete(calibration["url"]).status_code == 204
    assert jobs.queue.all() == ()


@_ON_BOTH
def test_a_repeated_request_gets_the_same_answer_and_queues_nothing(jobs: Jobs) -> None:
    first = jobs.post("/v1/searches", SEARCH, idempotency_key="k1")
    jobs.clock.forward(10)
    again = jobs.post("/v1/searches", dict(reversed(SEARCH.items())) | {"seed": 0}, idempotency_key="k1")
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert len(jobs.queue.all()) == 1
    other = jobs.post("/v1/searches", SEARCH | {"seed": 1}, idempotency_key="k1")
    problem_of(other, 422, "idempotency-key-reused")
    problem_of(jobs.post(CALIBRATIONS, {"space": SPACE.name}, idempotency_key="k1"), 422, "idempotency-key-reused")
    wrong = jobs.post("/v1/searches", SEARCH | {"space": "resnet"}, idempotency_key="k2")
    assert wrong_fields(wrong) == ["space"]
    assert jobs.post("/v1/searches", SEARCH, idempotency_key="k2").status_code == 202, "errors are not kept"
    jobs.clock.forward(24 * 3600)
    later = jobs.post("/v1/searches", SEARCH, idempotency_key="k1")
    assert later.json()["id"] != first.json()["id"]
    assert wrong_fields(jobs.post("/v1/searches", SEARCH, idempotency_key="a b")) == ["Idempotency-Key"]


def test_a_full_queue_refuses_and_takes_again(jobs: Jobs) -> None:
    batch = jobs.post("/v1/batches", {"searches": [SEARCH] * 100}).json()
    refused = jobs.post("/v1/batches", {"searches": [SEARCH] * 11})
    problem_of(refused, 429, "queue-full")
    assert int(refused.headers["retry-after"]) > 0
    assert len(jobs.queue.all()) == 100, "all or nothing"
    for _ in range(10):
        jobs.search()
    problem_of(jobs.post(CALIBRATIONS, {"space": SPACE.name}), 429, "queue-full")
    jobs.client.post(f"{batch['url']}:cancel")
    assert jobs.post("/v1/searches", SEARCH).status_code == 202


def test_a_batch_is_one_resource(jobs: Jobs) -> None:
    body = {
        "name": "night",
        "searches": [SEARCH, SEARCH | {"seed": 1}],
        "calibrations": [{"device": PROFILE.id, "space": SPACE.name, "budget": 6}],
    }
    answer = jobs.post("/v1/batches", body, idempotency_key="b")
    batch = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, batch["url"])
    assert jobs.post("/v1/batches", body, idempotency_key="b").json() == batch
    assert [member["kind"] for member in batch["members"]] == ["search", "search", "calibration"]
    assert [member["queue_position"] for member in batch["members"]] == [1, 2, 3]
    assert [member["request"].get("seed") for member in batch["members"]] == [0, 1, 0]
    assert (batch["state"], batch["counts"]) == ("queued", {"queued": 3})
    assert jobs.get(batch["members"][2]["url"])["batch"] == batch["url"]
    problem_of(jobs.client.delete(batch["url"]), 409, "still-active")
    job = jobs.claim()
    assert jobs.get(batch["url"])["state"] == "running"
    jobs.queue.succeed(job.lease, {})
    cancelled = jobs.client.post(f"{batch['url']}:cancel").json()
    assert (cancelled["state"], cancelled["counts"]) == ("cancelled", {"succeeded": 1, "cancelled": 2})
    assert cancelled["finished_at"] is not None
    member = problem_of(jobs.client.delete(batch["members"][0]["url"]), 409, "still-referenced")
    assert member["referrers"] == [batch["url"]]
    assert jobs.client.delete(batch["url"]).status_code == 204
    assert jobs.queue.all() == ()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "searches"),
        ({"searches": [SEARCH] * 60, "calibrations": [{"device": PROFILE.id, "space": SPACE.name}] * 41}, "searches"),
        ({"searches": [SEARCH] * 101}, "searches"),
        ({"searches": [SEARCH, SEARCH | {"device": "phone"}]}, "searches.1.device"),
        ({"searches": [SEARCH, SEARCH | {"evaluations": 1}]}, "searches.1.evaluations"),
        ({"searches": [SEARCH | {"precisions": ["int4"]}]}, "searches.0.precisions"),
        ({"searches": [SEARCH | {"precisions": []}]}, "searches.0.precisions"),
        ({"searches": [SEARCH | {"method": "integer_programming", "evaluations": 9}]}, "searches.0.evaluations"),
        ({"searches": [SEARCH], "calibrations": [{"device": "x", "space": SPACE.name}]}, "calibrations.0.device"),
        ({"calibrations": [{"device": PROFILE.id, "space": "resnet"}]}, "calibrations.0.space"),
        ({"calibrations": [{"space": SPACE.name}]}, "calibrations.0.device"),
        ({"searches": [SEARCH], "name": ""}, "name"),
    ],
)
def test_a_wrong_member_is_named_and_nothing_is_queued(jobs: Jobs, body: dict[str, Any], field: str) -> None:
    assert wrong_fields(jobs.post("/v1/batches", body)) == [field]
    assert jobs.queue.all() == ()


@_ON_BOTH
def test_waiting_ends_with_the_job(jobs: Jobs) -> None:
    calibration = jobs.calibration()
    job = jobs.claim()
    answers: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: answers.append(jobs.get(calibration["url"], wait=60)))
    waiting.start()
    assert jobs.get(calibration["url"], wait=0.01)["state"] == "running"
    jobs.queue.succeed(job.lease, {"latency_predictor": "0" * 64})
    waiting.join()
    assert answers[0]["state"] == "succeeded"
    assert jobs.get(calibration["url"], wait=60)["state"] == "succeeded"
    for wrong in ("-1", "61", "nan", "1_0"):
        assert wrong_fields(jobs.client.get(calibration["url"], params={"wait": wrong})) == ["wait"]


@_ON_BOTH
def test_events_are_streamed_and_resumed(jobs: Jobs) -> None:
    search = jobs.search()
    with jobs.client.stream("GET", f"{search['url']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        events = _events(stream.iter_lines())
        first = next(events)
        assert (first["id"], first["event"], first["data"]["state"]) == ("1", "state", "queued")
        job = jobs.claim()
        assert next(events)["data"]["state"] == "running"
        jobs.queue.report(job.lease, {"task": "search", "done": 1, "total": 2})
        third = next(events)
        assert (third["id"], third["event"], third["data"]["done"]) == ("3", "progress", 1)
        jobs.queue.fail(job.lease, code="x", message="y.")
        last = next(events)
        assert (last["data"]["state"], last["data"]["error"]) == ("failed", {"code": "x", "message": "y."})
        assert list(events) == []
    resumed = jobs.client.get(f"{search['url']}/events", headers={"Last-Event-ID": "2"})
    assert [event["id"] for event in _events(iter(resumed.text.splitlines()))] == ["3", "4"]
    assert jobs.client.get(f"{search['url']}/events", headers={"Last-Event-ID": "4"}).status_code == 204
    assert wrong_fields(jobs.client.get(f"{search['url']}/events", headers={"Last-Event-ID": "x"})) == ["Last-Event-ID"]
    problem_of(jobs.client.get("/v1/searches/none/events"), 404, "unknown-search")
    problem_of(jobs.client.get("/v1/calibrations/none/events"), 404, "unknown-calibration")


def test_a_search_of_the_command_line_has_events_too(jobs: Jobs) -> None:
    open_search(jobs.store)
    for number in range(2):
        jobs.store.searches.append_generation(
            "search-1", StoredGeneration(number=number, evaluations=8, trials=(), notes={})
        )
    jobs.store.searches.end("search-1", "succeeded")
    events = list(_events(iter(jobs.client.get("/v1/searches/search-1/events").text.splitlines())))
    assert [(event["id"], event["data"].get("done"), event["data"].get("state")) for event in events] == [
        ("1", None, "running"),
        ("3", 8, None),
        ("5", 16, None),
        ("6", None, "succeeded"),
    ]


def test_who_saw_a_search_interrupted_sees_what_follows_when_it_is_resumed(jobs: Jobs) -> None:
    open_search(jobs.store)
    jobs.store.searches.append_generation("search-1", StoredGeneration(number=0, evaluations=8, trials=(), notes={}))
    jobs.store.searches.release()
    url = "/v1/searches/search-1/events"
    *_, interrupted = _events(iter(jobs.client.get(url).text.splitlines()))
    assert interrupted["data"]["state"] == "interrupted"
    open_search(jobs.store)
    jobs.store.searches.append_generation("search-1", StoredGeneration(number=1, evaluations=8, trials=(), notes={}))
    jobs.store.searches.end("search-1", "succeeded")
    resumed = jobs.client.get(url, headers={"Last-Event-ID": interrupted["id"]})
    seen = [event["data"].get("done", event["data"].get("state")) for event in _events(iter(resumed.text.splitlines()))]
    assert seen == [16, "succeeded"]


def test_old_events_make_room(tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store:
        job = JobQueue(store).enqueue("search", {})
        with store.database.write() as session:
            row = session.get_one(JobRow, job.id)
            for number in range(KEPT_EVENTS + 1):
                record_event(session, row, "progress", {"done": number}, store.clock())
        kept = JobEvents(store).after(job.id, 0)
        assert [event.number for event in kept] == list(range(3, KEPT_EVENTS + 3))


def test_the_service_ends_although_somebody_follows(tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store:
        put_device(store)
        put_supernet(store)
        with running(store, Home(tmp_path)) as url, httpx.Client(base_url=url, timeout=60) as client:
            search = client.post("/v1/searches", json=SEARCH).json()
            received: list[int] = []
            started = threading.Event()

            def follow() -> None:
                with httpx.stream("GET", f"{url}{search['url']}/events", timeout=60) as stream:
                    for _line in stream.iter_lines():
                        started.set()
                    received.append(stream.status_code)

            thread = threading.Thread(target=follow)
            thread.start()
            assert started.wait(60)
        thread.join()
        assert received == [200], "the stream ended whole"
