"""The nearest member to limits that none satisfies."""

from nas.store.fronts import FrontMember, Limits
from nas.store.violations import nearest_member, unmet_limits


def _member(position: int, p95_ms: float, size_bytes: int, accuracy: float) -> FrontMember:
    return FrontMember(
        position=position, candidate_id=str(position), measured=True, latency_p50_ms=p95_ms, latency_p95_ms=p95_ms,
        size_bytes=size_bytes, accuracy_val=accuracy, accuracy_test=None,
    )  # fmt: skip


_MEMBERS = (_member(0, 1.0, 100, 0.5), _member(1, 2.0, 400, 0.8), _member(2, 4.0, 200, 0.9))


def test_the_least_relative_violation_is_nearest() -> None:
    # 0: 0 + 0.375; 1: 0.25 + 0; 2: 1.5 + 0
    limits = Limits(max_latency_p95_ms=1.6, min_accuracy=0.8)
    nearest = nearest_member(_MEMBERS, limits)
    assert nearest == _MEMBERS[1]
    (unmet,) = unmet_limits(_MEMBERS[1], _MEMBERS, limits)
    assert (unmet.limit, unmet.asked, unmet.nearest, unmet.best) == ("max_latency_p95_ms", 1.6, 2.0, 1.0)


def test_the_first_of_equals_is_nearest() -> None:
    limits = Limits(min_accuracy=0.99)
    twins = (_member(0, 1.0, 100, 0.5), _member(1, 1.0, 100, 0.5))
    assert nearest_member(twins, limits) == twins[0]


def test_an_empty_front_has_no_nearest_member() -> None:
    assert nearest_member((), Limits(min_accuracy=0.5)) is None


def test_a_member_within_the_limits_misses_none() -> None:
    assert unmet_limits(_MEMBERS[0], _MEMBERS, Limits(max_size_bytes=100, min_accuracy=0.0)) == ()
