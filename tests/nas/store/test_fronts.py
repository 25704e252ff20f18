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

from nas.metrics import LIMIT_NAMES, Constraints
from nas.store import Store, open_store
from nas.store.errors import FrontDamagedError, FrontFormatError, NotStoredError, StoreConflictError
from nas.store.fronts import members_of, parse_front
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


_LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_latency_p50_ms": st.floats(0.1, 5),
        "max_latency_p95_ms": st.floats(0.1, 5),
        "max_size_bytes": st.integers(1, 4000),
        "max_peak_memory_bytes": st.integers(1, 4000),
        "max_load_time_ms": st.floats(0.1, 5),
        "min_accuracy": st.floats(0.01, 1),
    },
)


def _full_body(store: Store) -> bytes:
    """Members of this version, of an earlier one, and without one metric."""
    ids = put_candidates(store, 3)
    figures = [(1.0, 1000, 0.7), (2.0, 3000, 0.8), (4.0, 2000, 0.9)]
    members = [
        front_member(candidate_id, p95_ms=p95_ms, size_bytes=size_bytes, accuracy=accuracy)
        for candidate_id, (p95_ms, size_bytes, accuracy) in zip(ids, figures, strict=True)
    ]
    for member, peak_memory_bytes in zip(members[:2], (500.0, 1500.0), strict=True):
        member["metrics"] = {"peak_memory_bytes": peak_memory_bytes, "load_time_ms": 2.0}
    members[0]["accuracy"] = {"expected": 0.65, "interval_90": [0.6, 0.7]}
    del members[0]["metrics"]["load_time_ms"]  # type: ignore[attr-defined]
    return front_body(members)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limits=_LIMITS)
def test_limits_select_what_a_loop_selects(store: Store, limits: dict[str, float]) -> None:
    open_search(store)
    front = store.fronts.add("search-1", _full_body(store))
    figures = [
        {"latency_p50_ms": 0.9, "latency_p95_ms": 1.0, "size_bytes": 1000, "peak_memory_bytes": 500, "accuracy": 0.65},
        {"latency_p50_ms": 1.8, "latency_p95_ms": 2.0, "size_bytes": 3000, "peak_memory_bytes": 1500,
         "load_time_ms": 2.0, "accuracy": 0.8},
        {"latency_p50_ms": 3.6, "latency_p95_ms": 4.0, "size_bytes": 2000, "accuracy": 0.9},
    ]  # fmt: skip

    def keeps(values: dict[str, float], name: str, limit: float) -> bool:
        metric = LIMIT_NAMES[name].name
        if name == "min_accuracy":
            return values[metric] >= limit
        return values.get(metric, math.inf) <= limit

    found = store.fronts.members(front.id, Constraints.from_limits(limits))
    expected = [
        position for position, values in enumerate(figures) if all(keeps(values, *limit) for limit in limits.items())
    ]
    assert [member.position for member in found] == expected


@pytest.mark.parametrize("metrics", [{"speed": 1.0}, {"load_time_ms": "fast"}, {"load_time_ms": True}])
def test_metrics_that_are_none_are_refused(metrics: dict[str, object]) -> None:
    member = front_member("0" * 64, p95_ms=1.0, size_bytes=10, accuracy=0.5) | {"metrics": metrics}
    with pytest.raises(FrontFormatError, match="member 0"):
        members_of(json.loads(front_body([member])))


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
