"""Fronts are kept as bytes; their members as rows."""

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from nas.store import Store, open_store
from nas.store.errors import FrontDamagedError, FrontFormatError, NotStoredError, StoreConflictError
from nas.store.fronts import Limits, members_of, parse_front
from nas.store.tables import FrontRow
from tests.databases import SteppedClock
from tests.nas.store.rows import SPACE, front_body, front_member, open_search, put_candidates


def _body(store: Store, seed: int = 7) -> bytes:
    ids = put_candidates(store, 3)
    figures = [(1.0, 1000, 0.7), (2.0, 3000, 0.8), (4.0, 2000, 0.9)]
    members = [
        front_member(candidate_id, p95_ms=p95_ms, size_bytes=size_bytes, accuracy=accuracy)
        for candidate_id, (p95_ms, size_bytes, accuracy) in zip(ids, figures, strict=True)
    ]
    return front_body(members, seed=seed)


def test_the_bytes_come_back_exactly(store: Store) -> None:
    open_search(store)
    body = _body(store)
    front = store.fronts.add("search-1", body)
    assert store.fronts.body(front.id) == body
    assert store.fronts.add("search-1", body) == front
    assert store.fronts.find(front.id) == front
    assert store.fronts.of_search("search-1") == front
    assert store.fronts.all() == (front,)
    assert store.fronts.spaces(front.profile_id) == (SPACE.name,)
    assert store.fronts.members(front.id) == members_of(json.loads(body))


def test_the_latest_front_is_the_newest(store: Store, clock: SteppedClock) -> None:
    open_search(store)
    store.fronts.add("search-1", _body(store))
    clock.forward(1)
    newer = store.fronts.add("search-1", _body(store, seed=8))
    assert store.fronts.latest(newer.profile_id) == newer
    assert store.fronts.latest(newer.profile_id, space=SPACE.name) == newer
    assert store.fronts.latest(newer.profile_id, space="mobilenet_v3:imagenet") is None
    assert store.fronts.latest("phone") is None
    assert store.fronts.of_search("search-2") is None
    with pytest.raises(NotStoredError):
        store.fronts.body("0" * 64)


_LIMIT = st.none() | st.floats(0, 5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(p95=_LIMIT, size=st.none() | st.integers(0, 4000), accuracy=st.none() | st.floats(0, 1))
def test_limits_select_what_a_loop_selects(
    store: Store, p95: float | None, size: int | None, accuracy: float | None
) -> None:
    open_search(store)
    front = store.fronts.add("search-1", _body(store))
    found = store.fronts.members(front.id, Limits(max_latency_p95_ms=p95, max_size_bytes=size, min_accuracy=accuracy))
    expected = tuple(
        member
        for member in store.fronts.members(front.id)
        if member.latency_p95_ms <= (math.inf if p95 is None else p95)
        and member.size_bytes <= (math.inf if size is None else size)
        and member.accuracy_val >= (0 if accuracy is None else accuracy)
    )
    assert found == expected


def test_predicted_latencies_stand_in_and_are_marked(store: Store) -> None:
    open_search(store)
    (one,) = put_candidates(store, 1)
    member = front_member(one, p95_ms=2.0, size_bytes=10, accuracy=0.5)
    for key in ("latency_p50_ms", "latency_p95_ms"):
        member[key] = {"measured": None, "predicted": 3.0, "interval_90": [2.0, 4.0]}
    front = store.fronts.add("search-1", front_body([member]))
    (stored,) = store.fronts.members(front.id)
    assert (stored.measured, stored.latency_p95_ms) == (False, 3.0)


def test_an_empty_front_is_a_front(store: Store) -> None:
    open_search(store)
    front = store.fronts.add("search-1", front_body([]))
    assert store.fronts.members(front.id) == ()


def test_a_front_must_fit_its_search(store: Store) -> None:
    open_search(store)
    with pytest.raises(FrontFormatError, match="'phone'"):
        store.fronts.add("search-1", front_body([], device="phone"))
    with pytest.raises(NotStoredError, match="search 'search-2'"):
        store.fronts.add("search-2", front_body([]))
    unknown = front_member("0" * 64, p95_ms=1.0, size_bytes=10, accuracy=0.5)
    with pytest.raises(StoreConflictError):
        store.fronts.add("search-1", front_body([unknown]))
    assert store.fronts.all() == ()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\xff", "not JSON"),
        (b"[]", "schema"),
        (b'{"schema": "hwnas.front/2"}', "schema"),
        (b'{"schema": "hwnas.front/1"}', "without baselines, data"),
        (b'{"schema": NaN}', "NaN"),
    ],
)
def test_bytes_that_are_no_front_are_refused(body: bytes, reason: str) -> None:
    with pytest.raises(FrontFormatError, match=reason):
        parse_front(body)


@pytest.mark.parametrize("change", ["accuracy_test", "latency_p95_ms"])
def test_a_member_without_a_figure_is_refused(change: str) -> None:
    member = front_member("0" * 64, p95_ms=1.0, size_bytes=10, accuracy=0.5)
    if change == "accuracy_test":
        del member[change]
    else:
        member[change] = {"measured": None, "predicted": None}
    with pytest.raises(FrontFormatError, match="member 0"):
        members_of(json.loads(front_body([member])))


@pytest.mark.parametrize("damage", [b'{"schema"', b"", b"{}"])
def test_damaged_bytes_are_never_given(store: Store, damage: bytes) -> None:
    open_search(store)
    front = store.fronts.add("search-1", _body(store))
    with store.database.write() as session:
        session.execute(update(FrontRow).values(body=damage))
    with pytest.raises(FrontDamagedError, match="another seed"):
        store.fronts.body(front.id)


def test_text_in_place_of_bytes_is_compared_too(tmp_path: Path) -> None:
    with open_store(tmp_path / "hwnas.db") as store:
        open_search(store)
        front = store.fronts.add("search-1", _body(store))
        with closing(sqlite3.connect(tmp_path / "hwnas.db")) as connection, connection:
            connection.execute("update fronts set body='{\"schema\"'")
        with pytest.raises(FrontDamagedError):
            store.fronts.body(front.id)
