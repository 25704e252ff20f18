"""Merges the fronts of one device, space and supernet, without dominated networks.

A merged front is a ``hwnas.front/1`` document. Members of all fronts count once each, as
they were verified last; those that another dominates in the fronts' objectives are left
out. ``seed``, ``method``, ``fingerprint`` and ``baselines`` are those of the newest
front; ``evaluations`` and ``budget`` are sums over the searches; ``limits`` is empty,
since the fronts may have been searched under different ones; ``merged`` lists the ids
of the fronts, newest first.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nas.fronts.front import Front, Member
from nas.metrics import Constraints, columns_or_worst, get_metric
from nas.search.pareto import non_dominated

_LARGEST: Final = np.finfo(np.float64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFront:
    """A front's bytes with its place in the store."""

    id: str
    search_id: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verified:
    """A member of one of the merged fronts."""

    member: Member
    row: Mapping[str, Any]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MergedFront:
    """The front of everything verified."""

    fronts: tuple[str, ...]
    """Ids of the fronts, newest first."""
    body: bytes
    etag: str
    """SHA-256 of the bytes."""
    document: Mapping[str, Any]
    values: tuple[Mapping[str, float], ...]
    """Each member's values by metric name, in the document's order."""
    sources: tuple[str, ...]
    """Id of the front that each member is from, in the document's order."""

    def recommendation(self, row: int, constraints: Constraints) -> dict[str, Any]:
        """The member of a row as the answer to a request for one network within constraints."""
        return {
            "device": self.document["device"],
            "space": self.document["space"],
            "data": self.document["data"],
            "supernet": self.document.get("supernet"),
            "fingerprint": self.document.get("fingerprint"),
            "limits": constraints.as_limits(),
            "front": self.sources[row],
            "member": self.document["members"][row],
        }


def merged_front(stored: Sequence[StoredFront]) -> MergedFront:
    """Merges fronts, newest first; at least one.

    Fronts that were measured under another fingerprint of machine, compiler and runtime
    than the newest are left out: their latencies are not comparable. A single front keeps its bytes.

    Raises:
        FrontFileError: if bytes are no front.
    """
    newest = Front.from_bytes(stored[0].body)
    same = [(one, front) for one in stored if (front := Front.from_bytes(one.body)).fingerprint == newest.fingerprint]
    if len(same) == 1:
        alone = same[0][0]
        sources = (alone.id,) * len(newest.members)
        return _merged(alone.body, (alone.id,), newest.members, sources)
    objectives = tuple(dict.fromkeys(name for _, front in same for name in front.objectives))
    known: dict[str, _Verified] = {}
    for one, front in same:
        rows = json.loads(one.body)["members"]
        for member, row in zip(front.members, rows, strict=True):
            known.setdefault(member.candidate, _Verified(member=member, row=row, source=one.id))
    kept = _without_dominated(list(known.values()), objectives)
    last_of_search = {one.search_id: front for one, front in reversed(same)}
    document = json.loads(stored[0].body) | {
        "evaluations": sum(front.evaluations for front in last_of_search.values()),
        "budget": _total_budget(list(last_of_search.values())),
        "objectives": list(objectives),
        "limits": {},
        "merged": [one.id for one, _ in same],
        "members": [entry.row for entry in kept],
    }
    body = (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    fronts = tuple(one.id for one, _ in same)
    return _merged(body, fronts, [entry.member for entry in kept], tuple(entry.source for entry in kept))


def _merged(body: bytes, fronts: tuple[str, ...], members: Sequence[Member], sources: tuple[str, ...]) -> MergedFront:
    return MergedFront(
        fronts=fronts,
        body=body,
        etag=hashlib.sha256(body).hexdigest(),
        document=json.loads(body),
        values=tuple(member.values for member in members),
        sources=sources,
    )


def _without_dominated(entries: Sequence[_Verified], objectives: Sequence[str]) -> list[_Verified]:
    """By rising latency; a member without a figure counts as the worst in it."""
    if not entries:
        return []
    columns = columns_or_worst([entry.member.values for entry in entries], objectives)
    losses = np.stack([get_metric(name).loss(columns[name]) for name in objectives], axis=1)
    losses = np.nan_to_num(losses, posinf=_LARGEST, neginf=-_LARGEST)
    kept = [entry for entry, keep in zip(entries, non_dominated(losses), strict=True) if keep]
    return sorted(kept, key=lambda entry: (entry.member.latency_p50_ms.best_known, -entry.member.expected_accuracy))


def _total_budget(fronts: Sequence[Front]) -> dict[str, int] | None:
    """None where a front of an earlier version does not say what it spent."""
    budgets = [front.budget for front in fronts]
    if any(budget is None for budget in budgets):
        return None
    return {
        "evaluations": sum(budget.evaluations for budget in budgets if budget is not None),
        "lookups": sum(budget.lookups for budget in budgets if budget is not None),
    }
