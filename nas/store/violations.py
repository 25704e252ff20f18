"""How far a front's members are from limits that none of them satisfies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nas.store.fronts import FrontMember, Limits

LimitName = Literal["max_latency_p95_ms", "max_size_bytes", "min_accuracy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmetLimit:
    """One limit that the nearest member misses."""

    limit: LimitName
    asked: float
    nearest: float
    """The nearest member's figure."""
    best: float
    """The best figure of all members, whatever their others are."""


def nearest_member(members: Sequence[FrontMember], limits: Limits) -> FrontMember | None:
    """The member with the least sum of relative violations (the first of equals); None of none."""
    return min(members, key=lambda member: sum(_violations(member, limits).values()), default=None)


def unmet_limits(member: FrontMember, members: Sequence[FrontMember], limits: Limits) -> tuple[UnmetLimit, ...]:
    """The limits that ``member`` misses."""
    asked = _asked(limits)
    figures = _figures(member)
    unmet = []
    for name, violation in _violations(member, limits).items():
        if violation > 0:
            others = [_figures(other)[name] for other in members]
            best = max(others) if name == "min_accuracy" else min(others)
            unmet.append(UnmetLimit(limit=name, asked=asked[name], nearest=figures[name], best=best))
    return tuple(unmet)


def _violations(member: FrontMember, limits: Limits) -> dict[LimitName, float]:
    """Each limit's excess as a fraction of the limit; 0 where it is met."""
    figures = _figures(member)
    violations: dict[LimitName, float] = {}
    for name, asked in _asked(limits).items():
        excess = asked - figures[name] if name == "min_accuracy" else figures[name] - asked
        violations[name] = max(0.0, excess) / asked if asked > 0 else 0.0
    return violations


def _asked(limits: Limits) -> dict[LimitName, float]:
    every: dict[LimitName, float | None] = {
        "max_latency_p95_ms": limits.max_latency_p95_ms,
        "max_size_bytes": limits.max_size_bytes,
        "min_accuracy": limits.min_accuracy,
    }
    return {name: value for name, value in every.items() if value is not None}


def _figures(member: FrontMember) -> dict[LimitName, float]:
    return {
        "max_latency_p95_ms": member.latency_p95_ms,
        "max_size_bytes": member.size_bytes,
        "min_accuracy": member.accuracy_val,
    }
