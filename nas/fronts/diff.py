"""Comparison of two fronts: members of one or both, changed values, hypervolume with a common reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nas.fronts.front import Front, Member
from nas.metrics import METRICS, Objectives, columns
from nas.search.pareto import hypervolume
from search_spaces.errors import NasError
from search_spaces.facts import FloatArray


class FrontsNotComparableError(NasError):
    """Two fronts without a common measure."""

    code: ClassVar[str] = "fronts-not-comparable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonMember:
    """A candidate that is in both fronts."""

    a: Member
    b: Member
    changed: Mapping[str, tuple[float | None, float | None]]
    """Values by metric name that differ, in A and in B; None where a front does not have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontDiff:
    """The differences between front A and front B."""

    only_a: tuple[Member, ...]
    only_b: tuple[Member, ...]
    both: tuple[CommonMember, ...]
    objectives: tuple[str, ...]
    """Metrics that hypervolume is computed in."""
    reference: Mapping[str, float]
    """The worst value of either front's members, by objective."""
    hypervolume_a: float
    hypervolume_b: float

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        return {
            "only_a": [member.as_json() for member in self.only_a],
            "only_b": [member.as_json() for member in self.only_b],
            "both": [
                {
                    "candidate": common.a.candidate,
                    "summary": common.a.summary,
                    "changed": {name: {"a": a, "b": b} for name, (a, b) in common.changed.items()},
                }
                for common in self.both
            ],
            "objectives": list(self.objectives),
            "reference": dict(self.reference),
            "hypervolume_a": self.hypervolume_a,
            "hypervolume_b": self.hypervolume_b,
        }


def diff_fronts(a: Front, b: Front) -> FrontDiff:
    """Compares two fronts.

    Hypervolume is taken in the objectives that both have, on their loss scales (log for
    latency and size); the reference is the worst value of either front's members.

    Raises:
        FrontsNotComparableError: for fronts of another space or data set, whose figures mean different things.
    """
    if (a.space, a.data) != (b.space, b.data):
        raise FrontsNotComparableError(
            f"one front is of {a.space} and {a.data}, the other of {b.space} and {b.data};"
            " compare fronts of one search space and data set."
        )
    of_a = {member.candidate: member for member in a.members}
    of_b = {member.candidate: member for member in b.members}
    shared = [name for name in a.objectives if name in b.objectives]
    objectives = Objectives.from_names(shared) if len(shared) > 1 else Objectives()
    losses_a, losses_b = (_losses(front.members, objectives) for front in (a, b))
    every = np.concatenate([losses_a, losses_b])
    reference = every.max(axis=0) if len(every) else np.zeros(len(objectives))
    members = [*a.members, *b.members]
    return FrontDiff(
        only_a=tuple(member for member in a.members if member.candidate not in of_b),
        only_b=tuple(member for member in b.members if member.candidate not in of_a),
        both=tuple(
            CommonMember(a=member, b=of_b[member.candidate], changed=_changed(member, of_b[member.candidate]))
            for member in a.members
            if member.candidate in of_b
        ),
        objectives=objectives.names,
        reference={name: _worst(members, name) for name in objectives.names} if members else {},
        hypervolume_a=hypervolume(losses_a, reference),
        hypervolume_b=hypervolume(losses_b, reference),
    )


def _losses(members: Sequence[Member], objectives: Objectives) -> FloatArray:
    if not members:
        return np.empty((0, len(objectives)))
    return objectives.losses(columns([member.values for member in members], objectives.names))


def _worst(members: Sequence[Member], name: str) -> float:
    values = [member.values[name] for member in members]
    return max(values) if METRICS[name].direction == "minimize" else min(values)


def _changed(a: Member, b: Member) -> dict[str, tuple[float | None, float | None]]:
    before, after = a.values, b.values
    return {name: (before.get(name), after.get(name)) for name in METRICS if before.get(name) != after.get(name)}
