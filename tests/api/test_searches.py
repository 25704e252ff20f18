"""Listing and cancelling searches over HTTP, whoever runs them."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from api.server import running
from nas.home import Home
from nas.jobs import JobQueue
from nas.store import Store, open_store
from nas.store.searches import LEASE_S
from tests.api.problems import problem_of, wrong_fields
from tests.databases import SteppedClock
from tests.nas.store.rows import PROFILE, SPACE, open_search, put_device


@dataclass(frozen=True, slots=True)
class Searches:
    """A served store on a clock that moves when told."""

    client: httpx.Client
    store: Store
    queue: JobQueue
    clock: SteppedClock

    def ids(self, **params: object) -> list[str]:
        answer = self.client.get("/v1/searches", params=params)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        return [search["id"] for search in answer.json()["searches"]]

    def state(self, search_id: str) -> str:
        return str(self.client.get(f"/v1/searches/{search_id}").json()["state"])


@pytest.fixture(params=["sqlite", "postgresql"])
def searches(request: pytest.FixtureRequest, tmp_path: Path, new_database: Callable[[str], str]) -> Iterator[Searches]:
    clock = SteppedClock()
    with (
        open_store(new_database(request.param), clock=clock) as store,
        running(store, Home(tmp_path)) as address,
        httpx.Client(base_url=address) as client,
    ):
        yield Searches(client, store, JobQueue(store), clock)


def _fill(searches: Searches) -> list[str]:
    """Two searches of the command line and two jobs, on two devices; newest first."""
    ids = []
    for number in range(4):
        searches.clock.forward(1)
        device = PROFILE.id if number < 3 else "local-cpu/onnxruntime"
        if number % 2:
            put_device(searches.store, device)
            ids.append(searches.queue.enqueue("search", {"device": device, "space": SPACE.name}).id)
        else:
            ids.append(open_search(searches.store, f"search-{number}", device).id)
    searches.queue.enqueue("calibration", {"device": PROFILE.id})
    return ids[::-1]


def test_searches_of_both_kinds_are_listed_newest_first(searches: Searches) -> None:
    expected = _fill(searches)
    assert searches.ids() == expected
    assert searches.ids(device=PROFILE.id) == expected[1:]
    assert searches.ids(state="queued") == [expected[0], expected[2]]
    assert searches.ids(state="running") == [expected[1], expected[3]]
    assert searches.ids(state="interrupted") == []
    one = searches.client.get("/v1/searches").json()["searches"][1]
    assert one == searches.client.get(one["url"]).json()
    assert (one["device"], one["request"], one["evaluations"]) == (PROFILE.id, {"budget": 40}, 0)


@pytest.mark.parametrize("page_size", [1, 2, 3, 4, 200])
def test_pages_follow_each_other_without_gaps(searches: Searches, page_size: int) -> None:
    expected = _fill(searches)
    url: str | None = f"/v1/searches?page_size={page_size}"
    found: list[str] = []
    while url is not None:
        answer = searches.client.get(url)
        page = answer.json()
        assert len(page["searches"]) <= page_size
        found += [search["id"] for search in page["searches"]]
        url = answer.links["next"]["url"] if "next" in answer.links else None
        assert (url is None) == (page["next_page_token"] is None)
        if url is not None:
            assert page["next_page_token"] in url
    assert found == expected


def test_searches_of_one_moment_are_all_listed(searches: Searches) -> None:
    expected = sorted((searches.queue.enqueue("search", {"device": "x"}).id for _ in range(5)), reverse=True)
    first = searches.client.get("/v1/searches", params={"page_size": 2}).json()
    second = searches.client.get("/v1/searches", params={"page_size": 3, "page_token": first["next_page_token"]}).json()
    assert [search["id"] for search in first["searches"] + second["searches"]] == expected
    assert second["next_page_token"] is None


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"state": "done"}, "state"),
        ({"device": "\x00"}, "device"),
        ({"page_size": "0"}, "page_size"),
        ({"page_size": "201"}, "page_size"),
        ({"page_token": "e30"}, "page_token"),
        ({"page_token": "%%%"}, "page_token"),
        ({"page_token": "WyIyMDI2LTAxLTAxIiwgImEiXQ"}, "page_token"),
        ({"limit": "3"}, "limit"),
    ],
)
def test_wrong_parameters_are_named(searches: Searches, params: dict[str, str], field: str) -> None:
    assert wrong_fields(searches.client.get("/v1/searches", params=params)) == [field]


def test_a_search_whose_process_is_silent_is_interrupted(searches: Searches) -> None:
    open_search(searches.store)
    assert searches.state("search-1") == "running"
    searches.clock.forward(LEASE_S + 1)
    assert searches.state("search-1") == "interrupted"
    assert searches.ids(state="interrupted") == ["search-1"]
    assert searches.ids(state="running") == []
    searches.store.searches.renew()
    assert searches.state("search-1") == "running"


_SEARCHING = """
import sys
from datetime import datetime
from nas.store import open_store
from tests.nas.store.rows import open_search
moment = datetime.fromisoformat(sys.argv[2])
with open_store(sys.argv[1], clock=lambda: moment) as store:
    open_search(store, "killed")
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_search_whose_process_is_killed_is_interrupted_before_its_lease_ends(searches: Searches) -> None:
    url = searches.store.database.url.render_as_string(hide_password=False)
    program = [sys.executable, "-c", _SEARCHING, url, searches.clock().isoformat()]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        open_search(searches.store, "alive")
        assert sorted(searches.ids(state="running")) == ["alive", "killed"]
        process.kill()
    assert searches.state("killed") == "interrupted"
    assert searches.ids(state="interrupted") == ["killed"]
    assert searches.ids(state="running") == ["alive"]


def test_a_running_search_is_asked_to_stop_and_an_interrupted_one_stops_at_once(searches: Searches) -> None:
    open_search(searches.store)
    answer = searches.client.post("/v1/searches/search-1:cancel").json()
    assert (answer["state"], answer["cancel_requested"], answer["finished_at"]) == ("running", True, None)
    assert searches.store.searches.renew()
    searches.clock.forward(LEASE_S + 1)
    answer = searches.client.post("/v1/searches/search-1:cancel").json()
    assert (answer["state"], answer["cancel_requested"]) == ("cancelled", False)
    assert answer["finished_at"] is not None
    assert searches.client.post("/v1/searches/search-1:cancel").json() == answer


def test_jobs_are_cancelled(searches: Searches) -> None:
    put_device(searches.store)
    queued, running_job = (searches.queue.enqueue("search", {"device": PROFILE.id}).id for _ in range(2))
    assert searches.client.post(f"/v1/searches/{queued}:cancel").json()["state"] == "cancelled"
    claimed = searches.queue.claim("here", kinds=("search",), lease_s=60)
    assert claimed is not None
    answer = searches.client.post(f"/v1/searches/{running_job}:cancel").json()
    assert (answer["id"], answer["state"], answer["cancel_requested"]) == (claimed.id, "running", True)


def test_what_is_no_search_is_not_cancelled(searches: Searches) -> None:
    calibration = searches.queue.enqueue("calibration", {}).id
    for unknown in ("x", "%00", calibration, "a" * 300):
        problem_of(searches.client.post(f"/v1/searches/{unknown}:cancel"), 404, "unknown-search")
    assert searches.queue.get(calibration).state == "queued"


def test_a_cancelled_job_is_queued_again(searches: Searches) -> None:
    job = searches.queue.enqueue("search", {"device": PROFILE.id})
    searches.queue.cancel(job.id)
    assert searches.queue.requeue(job.id).state == "queued"
    claimed = searches.queue.claim("here", kinds=("search",), lease_s=60)
    assert claimed is not None
    assert searches.queue.requeue(job.id).state == "running"
    done = searches.queue.succeed(claimed.lease, {})
    assert searches.queue.requeue(job.id) == done
