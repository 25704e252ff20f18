"""All fronts of a device as one, against a loop over every pair of networks."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.fronts.front import Accuracy, Budget, Front, Latency, Member
from nas.fronts.merged import StoredFront, merged_front


def _member(candidate: int, p50_ms: float, accuracy: float, memory: float | None = None) -> Member:
    return Member(
        candidate=f"{candidate:064x}",
        summary="a network",
        precision="fp32",
        size_bytes=1000,
        latency_p50_ms=Latency(measured=p50_ms),
        latency_p95_ms=Latency(measured=p50_ms * 1.1),
        accuracy_val=0.99,
        accuracy=Accuracy(expected=accuracy, interval_90=(accuracy - 0.01, accuracy + 0.01)),
        metrics={} if memory is None else {"peak_memory_bytes": memory},
    )


def _front(members: list[Member], **changes: object) -> Front:
    front = Front(
        device="local-cpu/tvm",
        space="mobilenet_v3:tiny",
        data="fashion-mini",
        seed=1,
        evaluations=20,
        members=tuple(members),
        supernet="c" * 64,
        fingerprint="d" * 64,
        method="hwnas",
        budget=Budget(evaluations=20, lookups=100),
    )
    return replace(front, **changes)  # type: ignore[arg-type]


def _stored(*fronts: Front, searches: str | None = None) -> list[StoredFront]:
    names = searches or "abcdefgh"
    return [StoredFront(id=f"f{n}", search_id=names[n], body=front.to_bytes()) for n, front in enumerate(fronts)]


_FIGURE = st.sampled_from([0.25, 0.5, 0.5, 0.75])
_MEMBERS = st.lists(
    st.tuples(st.integers(0, 5), _FIGURE, _FIGURE, st.none() | _FIGURE), max_size=5, unique_by=lambda member: member[0]
)


@given(fronts=st.lists(_MEMBERS, min_size=2, max_size=4), memory=st.booleans())
def test_members_are_the_newest_of_each_network_that_none_dominates(
    fronts: list[list[tuple[int, float, float, float | None]]], memory: bool
) -> None:
    objectives = ("latency_p50_ms", "accuracy", *(("peak_memory_bytes",) if memory else ()))
    merged = merged_front(
        _stored(*(_front([_member(*member) for member in members], objectives=objectives) for members in fronts))
    )
    newest: dict[int, tuple[float, float, float]] = {}
    for members in fronts:
        for candidate, p50, accuracy, used in members:
            worst = float("inf") if used is None else used
            newest.setdefault(candidate, (p50, -accuracy, worst if memory else 0.0))
    expected = {
        candidate
        for candidate, point in newest.items()
        if not any(
            all(a <= b for a, b in zip(other, point, strict=True)) and other != point for other in newest.values()
        )
    }
    assert {int(member["candidate"], 16) for member in merged.document["members"]} == expected
    latencies = [member["latency_p50_ms"]["measured"] for member in merged.document["members"]]
    assert latencies == sorted(latencies)
    for member, values in zip(merged.document["members"], merged.values, strict=True):
        assert values["accuracy"] == member["accuracy"]["expected"]


def test_a_single_front_keeps_its_bytes() -> None:
    (stored,) = _stored(_front([_member(1, 1.0, 0.8)]))
    merged = merged_front([stored])
    assert merged.body == stored.body
    assert (merged.fronts, merged.sources) == (("f0",), ("f0",))


def test_what_a_merged_front_says_of_itself() -> None:
    fronts = (
        _front([_member(1, 1.0, 0.8)], seed=7, evaluations=40, budget=Budget(evaluations=40, lookups=10)),
        _front([_member(2, 2.0, 0.9)], limits={"max_latency_p95_ms": 3.0}),
        _front([_member(3, 3.0, 0.95)]),
    )
    merged = merged_front(_stored(*fronts, searches="aab"))  # the second is an earlier front of the first's search
    document = merged.document
    assert Front.from_bytes(merged.body).members == tuple(front.members[0] for front in fronts)
    assert document["merged"] == ["f0", "f1", "f2"]
    assert merged.sources == ("f0", "f1", "f2")
    assert (document["seed"], document["limits"]) == (7, {})
    assert (document["evaluations"], document["budget"]) == (60, {"evaluations": 60, "lookups": 110})
    assert json.loads(merged.body) == document


def test_the_newest_verification_counts() -> None:
    old, new = _member(1, 1.0, 0.9), _member(1, 1.5, 0.8)
    merged = merged_front(_stored(_front([new]), _front([old, _member(2, 2.0, 0.95)])))
    assert [row["latency_p50_ms"]["measured"] for row in merged.document["members"]] == [1.5, 2.0]


def test_fronts_of_another_fingerprint_are_left_out() -> None:
    old = _front([_member(2, 0.1, 0.99)], fingerprint="e" * 64)
    merged = merged_front(_stored(_front([_member(1, 1.0, 0.8)]), old))
    assert merged.fronts == ("f0",)


@pytest.mark.parametrize("budget", [None, Budget(evaluations=1, lookups=1)])
def test_a_budget_that_one_front_does_not_say_is_not_made_up(budget: Budget | None) -> None:
    merged = merged_front(_stored(_front([_member(1, 1.0, 0.8)]), _front([], budget=budget)))
    assert (merged.document["budget"] is None) == (budget is None)


def test_objectives_of_all_fronts_count() -> None:
    fronts = (
        _front([_member(1, 1.0, 0.8, 100.0)]),
        _front([_member(2, 2.0, 0.7, 50.0)], objectives=("latency_p50_ms", "accuracy", "peak_memory_bytes")),
    )
    merged = merged_front(_stored(*fronts))
    assert merged.document["objectives"] == ["latency_p50_ms", "accuracy", "peak_memory_bytes"]
    assert len(merged.document["members"]) == 2
