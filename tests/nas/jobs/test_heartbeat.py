"""Leases that outlive the database's bad moments."""

import threading
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from nas.home import DiskFullError
from nas.jobs.errors import JobCancelledError
from nas.jobs.heartbeat import heartbeat
from nas.jobs.held_searches import CancellableProgress, HeldSearches, holding_searches
from nas.jobs.queue import JobQueue
from nas.jobs.worker import JobContext, StopSignal
from nas.progress import SilentProgress
from nas.store import Store
from nas.store.errors import StoreError
from tests.databases import SteppedClock
from tests.nas.store.rows import open_search


@contextmanager
def _without_table(store: Store, name: str):
    """The database refuses whatever needs this table."""
    with store.database.connection() as connection:
        connection.execute(text(f"ALTER TABLE {name} RENAME TO hidden"))
    yield
    with store.database.connection() as connection:
        connection.execute(text(f"ALTER TABLE hidden RENAME TO {name}"))


@pytest.mark.parametrize("error", [StoreError("no such table"), DiskFullError("no space"), RuntimeError("a defect")])
def test_an_error_does_not_end_the_heartbeat(error: Exception) -> None:
    beats = 0
    went_on = threading.Event()

    def beat() -> bool:
        nonlocal beats
        beats += 1
        if beats == 1:
            raise error
        went_on.set()
        return True

    with heartbeat(beat, period_s=0.001, name="lease"):
        assert went_on.wait(60)


def test_a_heartbeat_ends_when_told_or_left() -> None:
    before = threading.active_count()
    lost = threading.Event()

    def beat() -> bool:
        assert not lost.is_set()
        lost.set()
        return False

    with heartbeat(beat, period_s=0.001, name="lease"):
        assert lost.wait(60)
    assert threading.active_count() == before


def test_a_job_keeps_its_lease_when_the_database_fails_for_a_while(store: Store, clock: SteppedClock) -> None:
    queue = JobQueue(store)
    queue.enqueue("search", {})
    job = queue.claim("one", kinds=("search",), lease_s=10)
    assert job is not None
    context = JobContext(job, queue, StopSignal())
    with _without_table(store, "jobs"):
        assert context.beat(10), "the thread goes on"
    clock.forward(9)
    assert context.beat(10)
    clock.forward(9)
    assert queue.claim("two", kinds=("search",), lease_s=10) is None


def test_a_held_search_is_interrupted_once_it_is_left(store: Store) -> None:
    with holding_searches(store) as held:
        open_search(store)
        assert held.beat()
        assert store.searches.get("search-1").state == "running"
    assert store.searches.get("search-1").state == "interrupted"

    def search_that_fails() -> None:
        with holding_searches(store):
            open_search(store)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        search_that_fails()
    assert store.searches.get("search-1").state == "interrupted"


def test_a_held_search_that_ended_stays_ended(store: Store) -> None:
    with holding_searches(store):
        open_search(store)
        store.searches.end("search-1", "succeeded")
    assert store.searches.get("search-1").state == "succeeded"


def test_a_cancellation_ends_the_work_at_its_next_step(store: Store) -> None:
    held = HeldSearches(store)
    progress = CancellableProgress(SilentProgress(), held)
    open_search(store)
    progress.update("search", 1, 2)
    assert store.searches.request_cancel("search-1").cancel_requested
    progress.say("not seen yet")
    progress.update("search", 1, 2)
    held.beat()
    with pytest.raises(JobCancelledError, match="hwnas search resume"):
        progress.update("search", 2, 2)
