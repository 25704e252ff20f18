"""Searches resume from exactly what was written."""

import subprocess
import sys
from dataclasses import replace

import pytest
from sqlalchemy import update

from nas.jobs.queue import JobQueue
from nas.store import Store, open_store
from nas.store.errors import LeaseLostError, NotStoredError, SearchBusyError, StoreConflictError, StoreError
from nas.store.leases import Lease
from nas.store.searches import LEASE_S, SearchSpec, StoredGeneration, StoredSearch, Trial
from nas.store.tables import SearchRow
from tests.databases import SteppedClock
from tests.nas.store.rows import PROFILE, SPACE, SUPERNET_ID, open_search, put_candidates, put_device, put_supernet


def _generation(number: int, ids: tuple[str, ...]) -> StoredGeneration:
    trials = tuple(
        Trial(
            genotype=(number, position),
            candidate_id=candidate_id,
            state="complete",
            values=(0.1 + number / 3, 1 / 3),
            system_attrs={"nsga2:generation": number, "constraints": [0.0, -1.5]},
        )
        for position, candidate_id in enumerate(ids)
    )
    failed = Trial(genotype=(9, 9), candidate_id=None, state="failed", values=None)
    return StoredGeneration(number=number, evaluations=len(ids), trials=(*trials, failed), notes={"hypervolume": 0.5})


def test_generations_come_back_exactly(store: Store, clock: SteppedClock) -> None:
    open_search(store)
    ids = put_candidates(store, 3)
    written = (_generation(0, ids), _generation(1, ids[:2]))
    for generation in written:
        clock.forward(1)
        store.searches.append_generation("search-1", generation)
    assert store.searches.generations("search-1") == written
    search = store.searches.get("search-1")
    assert search.evaluations == 5
    assert search.updated_at == clock.now


def test_a_generation_is_written_once_and_in_order(store: Store) -> None:
    open_search(store)
    ids = put_candidates(store, 2)
    store.searches.append_generation("search-1", _generation(0, ids))
    for number in (0, 2):
        with pytest.raises(StoreConflictError, match=f"{number} cannot follow"):
            store.searches.append_generation("search-1", _generation(number, ids))
    assert store.searches.get("search-1").evaluations == 2


def test_a_generation_is_written_whole_or_not_at_all(store: Store) -> None:
    open_search(store)
    (one,) = put_candidates(store, 1)
    for wrong in ("0" * 64, one):
        bad = Trial(genotype=(1,), candidate_id=wrong, state="complete", values=(float("nan"),))
        generation = _generation(0, (one,))
        with pytest.raises(StoreError):
            store.searches.append_generation("search-1", replace(generation, trials=(*generation.trials, bad)))
    assert store.searches.generations("search-1") == ()
    assert store.searches.get("search-1").evaluations == 0


def test_opening_again_goes_on_with_the_same_search(store: Store) -> None:
    first = open_search(store)
    store.searches.append_generation("search-1", _generation(0, put_candidates(store, 2)))
    store.searches.end("search-1", "cancelled")
    assert open_search(store).evaluations == 2
    assert store.searches.get("search-1").state == "running"
    store.searches.end("search-1", "succeeded")
    assert open_search(store).state == "succeeded"
    assert [entry.id for entry in store.searches.all(profile_id=PROFILE.id)] == [first.id]
    assert store.searches.all(profile_id="phone") == ()


def test_opening_with_other_settings_is_refused(store: Store) -> None:
    open_search(store)
    with pytest.raises(StoreConflictError, match="settings"):
        store.searches.open(
            SearchSpec(
                id="search-1",
                profile_id=PROFILE.id,
                supernet_id=SUPERNET_ID,
                space=SPACE.name,
                settings={"budget": 41},
                seed=7,
            )
        )


def test_unknown_searches_are_named(store: Store) -> None:
    with pytest.raises(NotStoredError, match="search 'nothing'"):
        store.searches.get("nothing")
    with pytest.raises(NotStoredError, match="search 'nothing'"):
        store.searches.append_generation("nothing", _generation(0, ()))
    with pytest.raises(NotStoredError, match="search 'nothing'"):
        store.searches.end("nothing", "failed")


def test_a_fenced_out_worker_writes_nothing(store: Store, clock: SteppedClock) -> None:
    queue = JobQueue(store)
    put_device(store)
    put_supernet(store)
    ids = put_candidates(store, 2)
    job = queue.enqueue("search", {})
    first = queue.claim("one", kinds=("search",), lease_s=10)
    assert first is not None

    def open_with(lease: Lease) -> None:
        store.searches.open(SearchSpec(
            id=job.id, profile_id=PROFILE.id, supernet_id=SUPERNET_ID, space=SPACE.name,
            settings={}, seed=1, job_id=job.id,
        ), lease=lease)  # fmt: skip

    open_with(first.lease)
    store.searches.append_generation(job.id, _generation(0, ids), lease=first.lease)
    clock.forward(11)
    second = queue.claim("two", kinds=("search",), lease_s=10)
    assert second is not None
    with pytest.raises(LeaseLostError):
        open_with(first.lease)
    with pytest.raises(LeaseLostError):
        store.searches.append_generation(job.id, _generation(1, ids), lease=first.lease)
    with pytest.raises(LeaseLostError):
        store.searches.end(job.id, "succeeded", lease=first.lease)
    open_with(second.lease)
    store.searches.append_generation(job.id, _generation(1, ids), lease=second.lease)
    assert store.searches.get(job.id).evaluations == 4


def _open_with_budget(store: Store, evaluations: int, **changes: object) -> StoredSearch:
    put_device(store)
    return store.searches.open(
        SearchSpec(
            id="search-1",
            profile_id=PROFILE.id,
            supernet_id=put_supernet(store),
            space=SPACE.name,
            settings={"evaluations": evaluations, "seed": 7} | changes,
            seed=7,
        )
    )


def test_a_larger_budget_extends_the_same_search(store: Store) -> None:
    _open_with_budget(store, 20)
    store.searches.append_generation("search-1", _generation(0, put_candidates(store, 2)))
    store.searches.end("search-1", "succeeded")
    assert _open_with_budget(store, 20).state == "succeeded"
    smaller = _open_with_budget(store, 10)
    assert (smaller.state, smaller.settings["evaluations"]) == ("succeeded", 20)
    larger = _open_with_budget(store, 40)
    assert (larger.state, larger.settings["evaluations"], larger.evaluations) == ("running", 40, 2)
    with pytest.raises(StoreConflictError, match="settings"):
        _open_with_budget(store, 50, batch_size=4)


_OTHER_PROCESS = """
import sys
from nas.store import open_store
from tests.nas.store.rows import open_search
store = open_store(sys.argv[1])
open_search(store)
sys.stdout.write("open\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def test_a_search_belongs_to_one_process_and_is_free_once_that_is_killed(store_url: str) -> None:
    with open_store(store_url) as store:
        process = subprocess.Popen(
            [sys.executable, "-c", _OTHER_PROCESS, store_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:
            assert process.stdout.readline() == b"open\n"
            assert store.searches.get("search-1").state == "running"
            with pytest.raises(SearchBusyError, match=str(process.pid)):
                open_search(store)
            with pytest.raises(SearchBusyError):
                store.searches.append_generation("search-1", _generation(0, ()))
            assert store.searches.request_cancel("search-1").state == "running"
            process.kill()
            process.wait()
        assert store.searches.request_cancel("search-1").state == "cancelled", "nobody is there to be asked"
        assert open_search(store).state == "running"
        store.searches.append_generation("search-1", _generation(0, ()))


def test_a_silent_process_of_another_host_loses_its_search(store: Store, clock: SteppedClock) -> None:
    open_search(store)
    with store.database.write() as session:
        session.execute(update(SearchRow).values(owner="elsewhere:1:1.00"))
    with pytest.raises(SearchBusyError, match="elsewhere:1"):
        open_search(store)
    clock.forward(LEASE_S)
    assert store.searches.get("search-1").state == "interrupted"
    assert open_search(store).state == "running"
    with store.database.write() as session:
        session.execute(update(SearchRow).values(owner="elsewhere:1:1.00"))
    assert not store.searches.renew(), "another process's search is not this one's"
