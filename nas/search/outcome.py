"""What a real evaluation gives, what a user may ask for, and how both become objectives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One real evaluation: measured figures, or the reason why there are none."""

    candidate_id: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Values by metric name (:data:`nas.metrics.METRICS`); ``accuracy`` is the reading on the validation images."""
    images_val: int = 0
    """Validation images that the accuracy was counted on; 0 where the count is unknown."""
    quality: str = "ok"
    """``noisy`` where the latency reading failed its own quality check."""
    failure: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether every figure is there."""
        return self.failure is None

    @property
    def accuracy_val(self) -> float:
        """Fraction of the validation images."""
        return self.metrics["accuracy"]

    @property
    def latency_p50_ms(self) -> float:
        """Median latency in milliseconds."""
        return self.metrics["latency_p50_ms"]

    @property
    def latency_p95_ms(self) -> float:
        """95th percentile of the latency in milliseconds."""
        return self.metrics["latency_p95_ms"]

    @property
    def size_bytes(self) -> int:
        """Size of the deployed file."""
        return int(self.metrics["size_bytes"])


class Evaluator(Protocol):
    """Evaluates candidates for real. A failed candidate is an outcome, not an exception."""

    def evaluate(self, genotypes: IntArray) -> Sequence[Outcome]:
        """One outcome a row, in order; what was evaluated before is not evaluated again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the asked networks must keep; None where nothing is asked.

    Raises:
        UsageError: for a limit that is not a finite number above 0, or an accuracy above 1.
    """

    max_latency_p95_ms: float | None = None
    max_size_bytes: int | None = None
    min_accuracy: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_latency_p95_ms", "max_size_bytes", "min_accuracy"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} is {value}; give a finite number above 0.")
        if self.min_accuracy is not None and self.min_accuracy > 1:
            raise UsageError(f"min_accuracy is {self.min_accuracy}; give a fraction from 0 to 1.")

    def violations(self, latency_p95_ms: FloatArray, size_bytes: FloatArray, accuracy: FloatArray) -> FloatArray:
        """Relative excesses of latency and size and missing accuracy, summed, shape ``(n,)``: 0 where all hold."""
        total = np.zeros(len(accuracy))
        if self.max_latency_p95_ms is not None:
            total += np.clip(latency_p95_ms / max(self.max_latency_p95_ms, 1e-9) - 1, 0, None)
        if self.max_size_bytes is not None:
            total += np.clip(size_bytes / max(self.max_size_bytes, 1) - 1, 0, None)
        if self.min_accuracy is not None:
            total += np.clip(self.min_accuracy - accuracy, 0, None)
        return total


def objectives(latency_ms: FloatArray, accuracy: FloatArray) -> FloatArray:
    """Minimized objectives, shape ``(n, 2)``: log latency and lost accuracy."""
    return np.stack([np.log(latency_ms), 1.0 - accuracy], axis=1)
