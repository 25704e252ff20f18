"""Front files: what is written is read, and what is no front is said."""

import json

import pytest

from nas.fronts.front import Baselines, Front, FrontFileError, Latency, Member


def _member(candidate: str) -> Member:
    return Member(
        candidate=candidate,
        summary="24px, 5 blocks",
        precision="fp32",
        size_bytes=1000,
        latency_p50_ms=Latency(measured=1.0, predicted=1.1, interval_90=(0.9, 1.3)),
        latency_p95_ms=Latency(measured=1.2),
        accuracy_val=0.8,
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
    )


def test_a_front_survives_its_bytes() -> None:
    front = _front()
    assert Front.from_bytes(front.to_bytes()) == front


@pytest.mark.parametrize("field", sorted(_front().as_json()))
def test_a_front_without_a_field_is_no_front(field: str) -> None:
    document = _front().as_json()
    del document[field]
    with pytest.raises(FrontFileError, match="no front"):
        Front.from_bytes(json.dumps(document).encode())


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
    with pytest.raises(FrontFileError, match="no front"):
        Front.from_bytes(body)
