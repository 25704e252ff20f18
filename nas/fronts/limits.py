"""Networks that meet constraints, or the closest one, for REST, command line and reports."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from nas.metrics import Constraint, Constraints, UnmetConstraint, columns_or_worst
from search_spaces.errors import NasError


class LimitsNotMetError(NasError):
    """No network meets the limits."""

    code: ClassVar[str] = "limits-not-met"

    def __init__(self, nearest: int | None, unmet: Sequence[UnmetConstraint]) -> None:
        self.nearest = nearest
        """Row of the network with the least summed relative violation; None of none."""
        self.unmet = tuple(unmet)
        misses = ", ".join(
            f"{entry.constraint.name} = {entry.constraint.limit:g} (closest {_shown(entry.nearest)},"
            f" best of all {_shown(entry.best)})"
            for entry in unmet
        )
        super().__init__(
            "there are no verified networks, so no limit can be met."
            if nearest is None
            else f"no verified network meets all limits; the closest one misses {misses}."
        )

    def unmet_as_json(self) -> list[dict[str, Any]]:
        """Each limit that the closest network misses; a value that is not known is null."""
        return [
            {
                "limit": entry.constraint.name,
                "asked": _number(entry.constraint, entry.constraint.limit),
                "nearest": _number(entry.constraint, entry.nearest),
                "best": _number(entry.constraint, entry.best),
            }
            for entry in self.unmet
        ]


def rows_within(values: Sequence[Mapping[str, float]], constraints: Constraints) -> list[int]:
    """Rows of the networks that meet every constraint; one whose figure is not known does not.

    Args:
        values: one mapping by metric name per network.
        constraints: empty: every network meets them.

    Raises:
        LimitsNotMetError: if none does.
    """
    if not values:
        raise LimitsNotMetError(None, ())
    columns = columns_or_worst(values, constraints.metric_names)
    violations = constraints.violations(columns) if constraints else np.zeros(len(values))
    rows = [int(row) for row in np.flatnonzero(violations <= 0)]
    if not rows:
        nearest = constraints.nearest(columns)
        raise LimitsNotMetError(nearest, constraints.unmet(columns, nearest))
    return rows


def best_accuracy(values: Sequence[Mapping[str, float]], constraints: Constraints) -> int:
    """Row of the network with the best expected accuracy that meets every constraint; of equals the fastest.

    Raises:
        LimitsNotMetError: if none does.
    """
    return min(
        rows_within(values, constraints), key=lambda row: (-values[row]["accuracy"], values[row]["latency_p50_ms"])
    )


def _number(constraint: Constraint, value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    return round(value) if constraint.metric.unit == "bytes" else value


def _shown(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else "not measured"
