"""The front file, schema ``hwnas.front/1``, for REST, the command line and exports.

Accuracies are fractions and paths are relative to the front file. Each latency says
what was measured and what was predicted; ``measured`` is null where nothing was.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

import numpy as np

from nas.metrics import Objectives, columns
from nas.search.pareto import non_dominated
from search_spaces.errors import NasError
from search_spaces.facts import FloatArray
from search_spaces.space import BoolArray

SCHEMA: Final = "hwnas.front/1"


class FrontFileError(NasError):
    """Bytes that are no front."""

    code: ClassVar[str] = "front-file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A latency in milliseconds; ``interval_90`` is the prediction's."""

    measured: float | None = None
    predicted: float | None = None
    interval_90: tuple[float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """The contract's object."""
        return {
            "measured": self.measured,
            "predicted": self.predicted,
            "interval_90": None if self.interval_90 is None else list(self.interval_90),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Latency":
        """Inverse of :meth:`as_json`."""
        interval = row["interval_90"]
        return cls(
            measured=row["measured"],
            predicted=row["predicted"],
            interval_90=None if interval is None else (interval[0], interval[1]),
        )

    @property
    def best_known(self) -> float:
        """Measured where it was measured, else predicted."""
        return self.measured if self.measured is not None else float(self.predicted or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Expected accuracy on new images (fractions), from a predictor as prior and the validation reading."""

    expected: float
    interval_90: tuple[float, float]

    def as_json(self) -> dict[str, Any]:
        """The contract's object."""
        return {"expected": self.expected, "interval_90": list(self.interval_90)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Accuracy":
        """Inverse of :meth:`as_json`."""
        low, high = row["interval_90"]
        return cls(expected=row["expected"], interval_90=(low, high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The budget that a search used."""

    evaluations: int
    """Candidates exported, compiled, checked and timed."""
    lookups: int
    """Float accuracies evaluated with inherited weights, without export or device."""

    def as_json(self) -> dict[str, int]:
        """The contract's object."""
        return {"evaluations": self.evaluations, "lookups": self.lookups}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One network of a front, or a baseline."""

    candidate: str
    summary: str
    precision: str
    size_bytes: int
    latency_p50_ms: Latency
    latency_p95_ms: Latency
    accuracy_val: float
    """Fraction of the validation images that the network that ships gets right."""
    accuracy_test: float | None = None
    """Fraction of the test images, counted after every choice was made."""
    accuracy_inherited_val: float | None = None
    """Fraction of the validation images before the network was finished; None where it ships as inherited."""
    accuracy: Accuracy | None = None
    """None in fronts of earlier versions."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Measured figures by metric name (:data:`nas.metrics.METRICS`)."""
    quality: str = "ok"
    """``noisy`` where the latency reading failed its own quality check."""
    float_units: tuple[str, ...] = ()
    """Units that the device computes in float in spite of their precision; the manifest has the reasons."""
    artifacts: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The contract's member object.

        ``accuracy_inherited_val`` is there if the network was finished, ``float_units`` if there are any.
        """
        inherited = self.accuracy_inherited_val
        return {
            "candidate": self.candidate,
            "summary": self.summary,
            "precision": self.precision,
            "size_bytes": self.size_bytes,
            "latency_p50_ms": self.latency_p50_ms.as_json(),
            "latency_p95_ms": self.latency_p95_ms.as_json(),
            "accuracy_val": self.accuracy_val,
            "accuracy_test": self.accuracy_test,
            **({} if inherited is None else {"accuracy_inherited_val": inherited}),
            "accuracy": None if self.accuracy is None else self.accuracy.as_json(),
            "metrics": dict(self.metrics),
            "quality": self.quality,
            **({"float_units": list(self.float_units)} if self.float_units else {}),
            "artifacts": dict(self.artifacts),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Member":
        """Inverse of :meth:`as_json`."""
        accuracy = row.get("accuracy")
        return cls(
            **(
                dict(row)
                | {
                    "latency_p50_ms": Latency.from_json(row["latency_p50_ms"]),
                    "latency_p95_ms": Latency.from_json(row["latency_p95_ms"]),
                    "accuracy": None if accuracy is None else Accuracy.from_json(accuracy),
                    "float_units": tuple(row.get("float_units", ())),
                }
            )
        )

    @property
    def expected_accuracy(self) -> float:
        """The expected accuracy; the validation reading in fronts of earlier versions."""
        return self.accuracy_val if self.accuracy is None else self.accuracy.expected

    @property
    def values(self) -> dict[str, float]:
        """Values by metric name, as objectives and constraints compare them."""
        return dict(self.metrics) | {
            "accuracy": self.expected_accuracy,
            "latency_p50_ms": self.latency_p50_ms.best_known,
            "latency_p95_ms": self.latency_p95_ms.best_known,
            "size_bytes": float(self.size_bytes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """Networks to compare the front with: same data, same device, same measurement."""

    largest_fp32: Member
    largest_int8: Member
    random: tuple[Member, ...]
    """The front of random candidates, from the search's own budgets of evaluations and look-ups."""

    @property
    def members(self) -> tuple[Member, ...]:
        """All of them."""
        return (self.largest_fp32, self.largest_int8, *self.random)


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The result of a search for one device profile; members in order of latency."""

    device: str
    space: str
    data: str
    seed: int
    evaluations: int
    members: tuple[Member, ...]
    baselines: Baselines | None = None
    supernet: str | None = None
    """Id of the supernet; None in fronts of earlier versions, as the next four."""
    fingerprint: str | None = None
    """Of the device profile when it was measured."""
    method: str | None = None
    budget: Budget | None = None
    random_budget: Budget | None = None
    """What the random baseline spent; None if there is no baseline."""
    objectives: tuple[str, ...] = ("latency_p50_ms", "accuracy")
    """Metric names (:data:`nas.metrics.METRICS`)."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """What the search was asked to keep, as :meth:`nas.metrics.Constraints.as_limits` gives it."""

    def as_json(self) -> dict[str, Any]:
        """The contract's front object."""
        body: dict[str, Any] = {
            "schema": SCHEMA,
            "device": self.device,
            "space": self.space,
            "data": self.data,
            "seed": self.seed,
            "evaluations": self.evaluations,
            "supernet": self.supernet,
            "fingerprint": self.fingerprint,
            "method": self.method,
            "budget": None if self.budget is None else self.budget.as_json(),
            "random_budget": None if self.random_budget is None else self.random_budget.as_json(),
            "objectives": list(self.objectives),
            "limits": dict(self.limits),
            "members": [member.as_json() for member in self.members],
            "baselines": {},
        }
        if self.baselines is not None:
            body["baselines"] = {
                "largest_fp32": self.baselines.largest_fp32.as_json(),
                "largest_int8": self.baselines.largest_int8.as_json(),
                "random": [member.as_json() for member in self.baselines.random],
            }
        return body

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Front":
        """Inverse of :meth:`as_json`."""
        beside, budget, random_budget = body["baselines"], body.get("budget"), body.get("random_budget")
        return cls(
            device=body["device"],
            space=body["space"],
            data=body["data"],
            seed=body["seed"],
            evaluations=body["evaluations"],
            members=tuple(Member.from_json(row) for row in body["members"]),
            baselines=Baselines(
                largest_fp32=Member.from_json(beside["largest_fp32"]),
                largest_int8=Member.from_json(beside["largest_int8"]),
                random=tuple(Member.from_json(row) for row in beside["random"]),
            )
            if beside
            else None,
            supernet=body.get("supernet"),
            fingerprint=body.get("fingerprint"),
            method=body.get("method"),
            budget=None if budget is None else Budget(**budget),
            random_budget=None if random_budget is None else Budget(**random_budget),
            objectives=tuple(body.get("objectives", ("latency_p50_ms", "accuracy"))),
            limits=body.get("limits", {}),
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> "Front":
        """Inverse of :meth:`to_bytes`.

        Raises:
            FrontFileError: if the bytes are no front.
        """
        try:
            document = json.loads(body)
            if document["schema"] == SCHEMA:
                return cls.from_json(document)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise FrontFileError(
                f"the data is not a front of schema {SCHEMA!r} ({type(error).__name__}: {str(error)[:80]});"
                " export the front again."
            ) from error
        raise FrontFileError(f"the front has schema {str(document['schema'])[:80]!r}; only {SCHEMA!r} can be read.")

    def to_bytes(self) -> bytes:
        """The stored and sent form: indented UTF-8 JSON; equal fronts give equal bytes."""
        return (json.dumps(self.as_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def pareto_members(
    members: Sequence[Member], objectives: Sequence[str] = ("latency_p50_ms", "accuracy")
) -> tuple[Member, ...]:
    """The members that none dominates in the objectives, by rising latency.

    Args:
        members: of one device.
        objectives: metric names; accuracy is the expected accuracy.
    """
    if not members:
        return ()
    kept = [member for member, keep in zip(members, non_dominated(_losses(members, objectives)), strict=True) if keep]
    return tuple(sorted(kept, key=lambda member: (member.latency_p50_ms.best_known, -member.expected_accuracy)))


def dominated_by(
    members: Sequence[Member], others: Sequence[Member], objectives: Sequence[str] = ("latency_p50_ms", "accuracy")
) -> BoolArray:
    """Which members some other dominates in the objectives, shape ``(len(members),)``."""
    if not members or not others:
        return np.zeros(len(members), dtype=np.bool_)
    own, beside = _losses(members, objectives)[:, None], _losses(others, objectives)[None]
    dominates = np.all(beside <= own, axis=2) & np.any(beside < own, axis=2)
    return np.asarray(np.any(dominates, axis=1), dtype=np.bool_)


def _losses(members: Sequence[Member], objectives: Sequence[str]) -> FloatArray:
    return Objectives.from_names(objectives).losses(columns([member.values for member in members], objectives))


def with_artifacts(member: Member, artifacts: Mapping[str, str]) -> Member:
    """The member with other artifact paths."""
    return replace(member, artifacts=dict(artifacts))
