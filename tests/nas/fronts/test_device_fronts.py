"""Which fronts of a device are meant."""

import pytest
from sqlalchemy import update

from nas.fronts.device_fronts import DeviceFronts, NoFrontError, UnclearFrontError
from nas.store import Store
from nas.store.errors import FrontDamagedError
from nas.store.searches import SearchSpec
from nas.store.supernets import NewSupernet
from nas.store.tables import FrontRow
from tests.databases import SteppedClock
from tests.nas.store.rows import PROFILE, SPACE, SUPERNET_ID, front_body, front_member, open_search, put_candidates

OTHER_SUPERNET = "6" * 64


def _add(store: Store, search_id: str, candidate: str, p95_ms: float, accuracy: float, seed: int = 7) -> str:
    body = front_body([front_member(candidate, p95_ms=p95_ms, size_bytes=10, accuracy=accuracy)], seed=seed)
    return store.fronts.add(search_id, body).id


def _search_of(store: Store, search_id: str, supernet_id: str, data_name: str) -> None:
    store.supernets.put(NewSupernet(
        id=supernet_id, space=SPACE.name, task=SPACE.task, data_name=data_name,
        data_fingerprint="e" * 64, folder="x", metrics={},
    ))  # fmt: skip
    store.searches.open(SearchSpec(
        id=search_id, profile_id=PROFILE.id, supernet_id=supernet_id, space=SPACE.name,
        settings={"budget": 40}, seed=7,
    ))  # fmt: skip


def test_every_front_of_the_device_counts(store: Store, clock: SteppedClock) -> None:
    open_search(store, "search-1")
    open_search(store, "search-2")
    fast, good, bad = put_candidates(store, 3)
    fronts = DeviceFronts(store)
    _add(store, "search-1", fast, 1.0, 0.7)
    alone = fronts.merged(PROFILE.id)
    assert [row["candidate"] for row in alone.document["members"]] == [fast]
    clock.forward(1)
    _add(store, "search-2", good, 2.0, 0.9)
    clock.forward(1)
    _add(store, "search-2", bad, 3.0, 0.8, seed=8)
    merged = fronts.merged(PROFILE.id)
    assert [row["candidate"] for row in merged.document["members"]] == [fast, good]
    assert merged.etag != alone.etag
    assert fronts.merged(PROFILE.id) is merged, "merged once"
    assert DeviceFronts(store).merged(PROFILE.id).body == merged.body, "the same rows give the same bytes"


def test_the_newest_supernet_with_a_front_is_meant(store: Store, clock: SteppedClock) -> None:
    open_search(store, "search-1")
    old, new = put_candidates(store, 2)
    clock.forward(1)
    _search_of(store, "search-2", OTHER_SUPERNET, "digits")
    _add(store, "search-1", old, 1.0, 0.7)
    fronts = DeviceFronts(store)

    def members(**asked: str) -> list[str]:
        return [row["candidate"] for row in fronts.merged(PROFILE.id, **asked).document["members"]]

    assert members() == [old], "the newer supernet has no front yet"
    _add(store, "search-2", new, 1.0, 0.7)
    clock.forward(1)
    _add(store, "search-1", old, 2.0, 0.7, seed=9)
    assert members() == members(data="digits") == members(supernet="6666") == [new]
    assert members(data="fashion-mini") == members(supernet=SUPERNET_ID) == [old]
    with pytest.raises(NoFrontError, match="data digits, supernet 5555"):
        members(data="digits", supernet="5555")


def test_supernets_that_begin_alike_have_to_be_told_apart(store: Store) -> None:
    open_search(store, "search-1")
    _search_of(store, "search-2", "5" * 60 + "6666", "digits")
    one, two = put_candidates(store, 2)
    _add(store, "search-1", one, 1.0, 0.7)
    _add(store, "search-2", two, 1.0, 0.7)
    with pytest.raises(UnclearFrontError, match="more digits") as refusal:
        DeviceFronts(store).merged(PROFILE.id, supernet="5555")
    assert refusal.value.field == "supernet"


def test_a_device_without_fronts_says_what_to_do(store: Store) -> None:
    with pytest.raises(NoFrontError, match="hwnas search"):
        DeviceFronts(store).merged(PROFILE.id)


def test_a_damaged_front_does_not_hide_the_others(store: Store, clock: SteppedClock) -> None:
    open_search(store, "search-1")
    one, two = put_candidates(store, 2)
    first = _add(store, "search-1", one, 1.0, 0.7)
    clock.forward(1)
    second = _add(store, "search-1", two, 2.0, 0.9, seed=8)
    with store.database.write() as session:
        session.execute(update(FrontRow).where(FrontRow.id == second).values(body=b"{"))
    assert DeviceFronts(store).merged(PROFILE.id).fronts == (first,)
    with store.database.write() as session:
        session.execute(update(FrontRow).values(body=b"{"))
    with pytest.raises(FrontDamagedError):
        DeviceFronts(store).merged(PROFILE.id)
