"""Two fronts compared."""

from dataclasses import replace

import numpy as np
import pytest

from nas.fronts.diff import FrontsNotComparableError, diff_fronts
from nas.fronts.front import Accuracy, Front, Latency, Member


def _member(name: str, p50_ms: float, accuracy: float) -> Member:
    return Member(
        candidate=name * 64,
        summary="a network",
        precision="fp32",
        size_bytes=1000,
        latency_p50_ms=Latency(measured=p50_ms),
        latency_p95_ms=Latency(measured=p50_ms * 2),
        accuracy_val=0.5,
        accuracy=Accuracy(expected=accuracy, interval_90=(0.1, 0.9)),
    )


def _front(*members: Member) -> Front:
    return Front(device="d", space="s", data="x", seed=0, evaluations=4, members=members)


def test_members_of_one_and_of_both_are_told_apart() -> None:
    a = _front(_member("a", 1.0, 0.5), _member("b", 2.0, 0.75))
    b = _front(_member("b", 2.5, 0.75), _member("c", 4.0, 0.8))
    found = diff_fronts(a, b)
    assert [member.candidate[0] for member in found.only_a] == ["a"]
    assert [member.candidate[0] for member in found.only_b] == ["c"]
    (common,) = found.both
    assert common.changed == {"latency_p50_ms": (2.0, 2.5), "latency_p95_ms": (4.0, 5.0)}
    # Reference: 4 ms and 0.5. A: 2 ms at 0.75; B: 2.5 ms at 0.75. Members at the reference add nothing.
    assert found.reference == {"latency_p50_ms": 4.0, "accuracy": 0.5}
    assert found.hypervolume_a == pytest.approx(np.log(4 / 2) * 0.25)
    assert found.hypervolume_b == pytest.approx(np.log(4 / 2.5) * 0.25)
    document = found.as_json()
    assert document["both"][0]["changed"]["latency_p50_ms"] == {"a": 2.0, "b": 2.5}


def test_a_front_is_like_itself() -> None:
    front = _front(_member("a", 1.0, 0.5), _member("b", 2.0, 0.75))
    found = diff_fronts(front, front)
    assert (found.only_a, found.only_b) == ((), ())
    assert all(not common.changed for common in found.both)
    assert found.hypervolume_a == found.hypervolume_b


def test_empty_fronts_are_compared() -> None:
    found = diff_fronts(_front(), _front())
    assert (found.hypervolume_a, found.reference, found.both) == (0.0, {}, ())


@pytest.mark.parametrize("change", [{"space": "t"}, {"data": "y"}])
def test_fronts_of_other_data_are_not_comparable(change: dict[str, str]) -> None:
    front = _front(_member("a", 1.0, 0.5))
    with pytest.raises(FrontsNotComparableError, match="one search space and data set"):
        diff_fronts(front, replace(front, **change))  # type: ignore[arg-type]
