"""The accounting of a chaos run sees each kind of fault."""

from pathlib import Path

import pytest

from nas.home import Home
from nas.jobs.events import record_state
from nas.jobs.queue import JobQueue
from nas.store import Store
from nas.store.tables import JobRow
from nas.workflows.chaos.accounting import account
from nas.workflows.chaos.plan import ChaosPlan


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def _ended(store: Store, kind: str = "training") -> str:
    queue = JobQueue(store)
    queue.enqueue(kind, {"evaluations": 5})
    job = queue.claim("here:1", kinds=("training", "calibration", "search"), lease_s=60)
    queue.succeed(job.lease, {"supernet": "5" * 64, "latency_predictor": "5" * 64})
    return job.id


def test_jobs_that_were_lost_or_made_twice(store: Store, home: Home) -> None:
    queue = JobQueue(store)
    running = queue.enqueue("training", {}).id
    counts = account(store, home, {"a": running, "b": "gone"})
    assert (counts.lost, counts.doubled, counts.failed) == (2, 0, 1)
    twin = queue.enqueue("training", {}).id
    assert account(store, home, {"a": running}).doubled == 1
    queue.cancel(running)
    queue.cancel(twin)
    counts = account(store, home, {"a": running, "b": twin})
    assert (counts.lost, counts.doubled, counts.failed, counts.stale_writes) == (0, 0, 2, 0)


def test_events_after_the_end_and_second_ends(store: Store, home: Home) -> None:
    job_id = _ended(store)
    with store.database.write() as session:
        record_state(session, session.get_one(JobRow, job_id), store.clock())
    counts = account(store, home, {"a": job_id})
    assert (counts.stale_writes, counts.doubled) == (1, 1)


@pytest.mark.parametrize("kind", ["training", "calibration", "search"])
def test_results_that_are_not_there(store: Store, home: Home, kind: str) -> None:
    counts = account(store, home, {"a": _ended(store, kind)})
    assert counts.wrong_results >= 1
    assert counts.succeeded == 1


def test_the_full_form_is_as_large_as_it_says() -> None:
    plan = ChaosPlan.full()
    assert len(plan.jobs("stored:x", "s")) == 300
    assert (plan.kills, plan.pauses, plan.outages) == (60, 30, 20)
    assert len(plan.disturbances()) == 60 + 30 + 20 + plan.server_kills
    assert {job.kind for job in plan.jobs("stored:x", "s")} == {"training", "calibration", "search"}
