"""Front files: what is written is read, and what is no front is said."""

import json
from dataclasses import replace

import pytest

from nas.fronts.front import Accuracy, Baselines, Budget, Front, FrontFileError, Latency, Member
from nas.fronts.member_text import precision_text


def _member(candidate: str) -> Member:
    return Member(
        candidate=candidate,
        summary="24px, 5 blocks",
        precision="fp32",
        size_bytes=1000,
        latency_p50_ms=Latency(measured=1.0, predicted=1.1, interval_90=(0.9, 1.3)),
        latency_p95_ms=Latency(measured=1.2),
        accuracy_val=0.8,
        accuracy=Accuracy(expected=0.78, interval_90=(0.76, 0.8)),
        metrics={"latency_p50_ms": 1.0, "peak_memory_bytes": 2e6},
        artifacts={"onnx": "artifacts/a"},
    )


def _front() -> Front:
    one, two = _member("a" * 64), _member("b" * 64)
    return Front(
        device="local-cpu/tvm",
        space="mobilenet_v3:tiny",
        data="fashion-mini",
        seed=7,
        evaluations=40,
        members=(one, two),
        baselines=Baselines(largest_fp32=one, largest_int8=two, random=(two,)),
        supernet="c" * 64,
        fingerprint="d" * 64,
        method="hwnas",
        budget=Budget(evaluations=40, lookups=124),
        objectives=("latency_p50_ms", "accuracy", "size_bytes"),
        limits={"max_latency_p95_ms": 2.0},
    )


def test_units_in_float_are_fields_of_members_that_have_them() -> None:
    member = replace(_member("a" * 64), precision="mixed (5/9 int8)", float_units=("stem", "head"))
    assert member.as_json()["float_units"] == ["stem", "head"]
    assert Member.from_json(member.as_json()) == member
    assert precision_text(member) == "mixed (5/9 int8), 2 in float"
    assert "float_units" not in _member("a" * 64).as_json()
    assert precision_text(_member("a" * 64)) == "fp32"


LATER_FIELDS = {"supernet", "fingerprint", "method", "budget", "random_budget", "objectives", "limits"}


def test_a_front_survives_its_bytes() -> None:
    front = _front()
    assert Front.from_bytes(front.to_bytes()) == front


@pytest.mark.parametrize("field", sorted(_front().as_json().keys() - LATER_FIELDS))
def test_a_front_without_a_field_is_no_front(field: str) -> None:
    document = _front().as_json()
    del document[field]
    with pytest.raises(FrontFileError, match="not a front"):
        Front.from_bytes(json.dumps(document).encode())


def test_a_front_of_an_earlier_version_is_read() -> None:
    document = _front().as_json()
    for name in LATER_FIELDS:
        del document[name]
    del document["members"][0]["accuracy"]
    front = Front.from_bytes(json.dumps(document).encode())
    assert front.budget is None
    assert front.members[0].expected_accuracy == 0.8
    assert front.members[1].expected_accuracy == 0.78


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b'{"schema"', b"[]", b"null", b"[" * 100_000, b'{"schema": "hwnas.front/2"}']
)
def test_bytes_that_are_no_front_are_said(body: bytes) -> None:
    with pytest.raises(FrontFileError) as refusal:
        Front.from_bytes(body)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize("members", [None, 7, [None], [[]], [{}], [{"candidate": "a"}]])
def test_members_that_are_none_are_said(members: object) -> None:
    body = json.dumps(_front().as_json() | {"members": members}).encode()
    with pytest.raises(FrontFileError, match="not a front"):
        Front.from_bytes(body)
