"""Metrics of networks, objectives of a search, and constraints on metrics.

One definition for search, store, REST, command line and plots. Values are plain floats
in the metric's unit; arrays of values have one entry per network.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from search_spaces.errors import UnknownNameError, UsageError
from search_spaces.facts import FloatArray

Direction = Literal["minimize", "maximize"]
Scale = Literal["linear", "log"]
Source = Literal["images", "timing", "artifact", "running artifact"]

MIN_OBJECTIVES: Final = 2
MAX_OBJECTIVES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A named figure of a network on a device."""

    name: str
    unit: str
    direction: Direction
    scale: Scale
    """How differences compare: ``log`` where a ratio is what matters."""
    source: Source
    """Where its values come from."""
    description: str

    @property
    def limit_name(self) -> str:
        """The name of a constraint on it: ``max_NAME`` or ``min_NAME``."""
        return f"{'max' if self.direction == 'minimize' else 'min'}_{self.name}"

    @property
    def largest(self) -> float:
        """The largest value that a constraint may ask for."""
        return 1.0 if self.unit == "fraction" else math.inf

    @property
    def worst(self) -> float:
        """An infinitely bad value; it stands in where a network has none."""
        return math.inf if self.direction == "minimize" else -math.inf

    def loss(self, values: FloatArray) -> FloatArray:
        """Values as a loss to minimize on the metric's scale, same shape; a fraction's loss is what is missing to 1."""
        if self.direction == "maximize":
            return 1.0 - values if self.unit == "fraction" else -values
        return np.log(values) if self.scale == "log" else np.asarray(values, dtype=np.float64)


ACCURACY: Final = Metric(
    name="accuracy",
    unit="fraction",
    direction="maximize",
    scale="linear",
    source="images",
    description="Expected top-1 accuracy on new images, estimated from the validation images.",
)
LATENCY_P50_MS: Final = Metric(
    name="latency_p50_ms",
    unit="ms",
    direction="minimize",
    scale="log",
    source="timing",
    description="Median latency of a single invocation.",
)
LATENCY_P95_MS: Final = Metric(
    name="latency_p95_ms",
    unit="ms",
    direction="minimize",
    scale="log",
    source="timing",
    description="95th percentile of the latency of a single invocation.",
)
SIZE_BYTES: Final = Metric(
    name="size_bytes",
    unit="bytes",
    direction="minimize",
    scale="log",
    source="artifact",
    description="Size of the deployed file.",
)
PEAK_MEMORY_BYTES: Final = Metric(
    name="peak_memory_bytes",
    unit="bytes",
    direction="minimize",
    scale="log",
    source="running artifact",
    description="Memory that loading and running the artifact adds to the process, at its peak.",
)
LOAD_TIME_MS: Final = Metric(
    name="load_time_ms",
    unit="ms",
    direction="minimize",
    scale="log",
    source="running artifact",
    description="Time from the artifact on disk to a network that is ready to run.",
)

METRICS: Final[Mapping[str, Metric]] = {
    metric.name: metric
    for metric in (ACCURACY, LATENCY_P50_MS, LATENCY_P95_MS, SIZE_BYTES, PEAK_MEMORY_BYTES, LOAD_TIME_MS)
}
LIMIT_NAMES: Final[Mapping[str, Metric]] = {metric.limit_name: metric for metric in METRICS.values()}


def get_metric(name: str) -> Metric:
    """The metric of a name.

    Raises:
        UnknownNameError: if there is none.
    """
    if name not in METRICS:
        raise UnknownNameError("metric", name, tuple(METRICS))
    return METRICS[name]


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric that a search optimizes in the metric's own direction."""

    metric: Metric

    def loss(self, values: FloatArray) -> FloatArray:
        """See :meth:`Metric.loss`."""
        return self.metric.loss(values)


@dataclass(frozen=True, slots=True)
class Objectives:
    """The two to four objectives of a search, in order.

    Raises:
        UsageError: for another number of objectives, or the same metric twice.
    """

    items: tuple[Objective, ...] = (Objective(LATENCY_P50_MS), Objective(ACCURACY))

    def __post_init__(self) -> None:
        if not MIN_OBJECTIVES <= len(self.items) <= MAX_OBJECTIVES:
            raise UsageError(
                f"{len(self.items)} objectives; give {MIN_OBJECTIVES} to {MAX_OBJECTIVES} of {', '.join(METRICS)}."
            )
        if len(set(self.names)) < len(self.items):
            raise UsageError(f"the objectives {', '.join(self.names)} name a metric twice; name each once.")

    @classmethod
    def from_names(cls, names: Sequence[str]) -> "Objectives":
        """Objectives by their metrics' names.

        Raises:
            UnknownNameError: for an unknown metric.
            UsageError: see the class.
        """
        return cls(tuple(Objective(get_metric(name)) for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names."""
        return tuple(objective.metric.name for objective in self.items)

    def __len__(self) -> int:
        return len(self.items)

    def losses(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Values by metric name, each of shape ``(n,)``, as minimized losses of shape ``(n, len(self))``."""
        return np.stack([objective.loss(values[objective.metric.name]) for objective in self.items], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A limit on one metric: an upper one where less is better, else a lower one.

    Raises:
        UsageError: for a limit that is not a finite number above 0, or a fraction above 1.
    """

    metric: Metric
    limit: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.limit) and self.limit > 0):
            raise UsageError(f"{self.name} is {self.limit}; give a finite number above 0.")
        if self.limit > self.metric.largest:
            raise UsageError(f"{self.name} is {self.limit}; give a fraction from 0 to 1.")

    @property
    def name(self) -> str:
        """``max_NAME`` or ``min_NAME``."""
        return self.metric.limit_name

    def violations(self, values: FloatArray) -> FloatArray:
        """How far values of shape ``(n,)`` miss the limit, as a fraction of it: 0 where it holds."""
        excess = values - self.limit if self.metric.direction == "minimize" else self.limit - values
        with np.errstate(over="ignore"):  # a limit next to 0 is missed infinitely
            return np.asarray(np.clip(excess, 0.0, None) / self.limit, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmetConstraint:
    """A constraint that the nearest network misses."""

    constraint: Constraint
    nearest: float
    """The nearest network's value."""
    best: float
    """The best value of all networks, whatever their others are."""


@dataclass(frozen=True, slots=True)
class Constraints:
    """Constraints that must hold together; at most one per metric. Empty: everything is allowed.

    Raises:
        UsageError: for two constraints on one metric.
    """

    items: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        names = [constraint.name for constraint in self.items]
        if len(set(names)) < len(names):
            raise UsageError(f"the limits {', '.join(names)} name a metric twice; give one limit per metric.")

    @classmethod
    def from_limits(cls, limits: Mapping[str, float | None]) -> "Constraints":
        """Constraints from ``{"max_latency_p95_ms": 8.0, "min_accuracy": None, …}``; None asks for nothing.

        Raises:
            UnknownNameError: for a name that is no metric's limit.
            UsageError: for a limit out of range.
        """
        unknown = [name for name in limits if name not in LIMIT_NAMES]
        if unknown:
            raise UnknownNameError("limit", unknown[0], tuple(LIMIT_NAMES))
        return cls(
            tuple(
                Constraint(metric=LIMIT_NAMES[name], limit=float(limit))
                for name, limit in sorted(limits.items())
                if limit is not None
            )
        )

    def as_limits(self) -> dict[str, float]:
        """The inverse of :meth:`from_limits`."""
        return {constraint.name: constraint.limit for constraint in self.items}

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the constrained metrics."""
        return tuple(constraint.metric.name for constraint in self.items)

    def __bool__(self) -> bool:
        return bool(self.items)

    def without(self, metric: str) -> "Constraints":
        """All but the constraint on this metric."""
        return Constraints(tuple(one for one in self.items if one.metric.name != metric))

    def violations(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Summed relative violations of networks, shape ``(n,)``: 0 where every constraint holds.

        Args:
            values: by metric name, each of shape ``(n,)``; at least the constrained metrics.
        """
        total = np.zeros(len(next(iter(values.values()))))
        for constraint in self.items:
            total += constraint.violations(values[constraint.metric.name])
        return total

    def nearest(self, values: Mapping[str, FloatArray]) -> int:
        """The row of the network with the least summed violation, the first of equals; there must be one."""
        return int(self.violations(values).argmin())

    def unmet(self, values: Mapping[str, FloatArray], row: int) -> tuple[UnmetConstraint, ...]:
        """The constraints that the network in ``row`` misses, with the best value of all networks."""
        missed = []
        for constraint in self.items:
            column = values[constraint.metric.name]
            if constraint.violations(column[row : row + 1])[0] > 0:
                best = column.min() if constraint.metric.direction == "minimize" else column.max()
                missed.append(UnmetConstraint(constraint=constraint, nearest=float(column[row]), best=float(best)))
        return tuple(missed)


def columns(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, FloatArray]:
    """Figures of networks as one array of shape ``(n,)`` per metric name."""
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in names}


def columns_or_worst(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, FloatArray]:
    """As :func:`columns`; a network without a figure gets the metric's worst value, which keeps no limit."""
    return {name: np.array([row.get(name, get_metric(name).worst) for row in rows], dtype=np.float64) for name in names}


def finite_metrics(values: Mapping[str, Any]) -> dict[str, float]:
    """Known metrics of a mapping as floats.

    Raises:
        UnknownNameError: for a name that is no metric.
        UsageError: for a value that is not a finite number.
    """
    checked = {}
    for name, value in values.items():
        get_metric(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UsageError(f"the metric {name} is {value!r}; it must be a finite number.")
        checked[name] = float(value)
    return checked
