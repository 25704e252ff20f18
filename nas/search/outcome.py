"""The outcome of a real evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from search_spaces.space import IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One real evaluation: measured values, or the reason of its failure."""

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
        """One outcome per row, in order; known candidates are not evaluated again."""
        ...
