"""What a real evaluation gives, what a user may ask for, and how both become objectives."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One real evaluation: measured figures, or the reason why there are none."""

    candidate_id: str
    accuracy_val: float = math.nan
    """Fraction of the validation images."""
    latency_p50_ms: float = math.nan
    latency_p95_ms: float = math.nan
    size_bytes: int = 0
    """Size of the deployed file: the ONNX graph, or TVM's shared library."""
    failure: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether every figure is there."""
        return self.failure is None


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
