"""Settings of measurements: durations, repeats and quality thresholds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from hw_profiles.errors import MeasuringError


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuringSettings:
    """How long and how strictly to measure.

    A reading takes about 0.4 s beside the compilation, and up to ``max_attempts`` are taken where the machine is busy.
    """

    rounds: int = 8
    round_ms: float = 20.0
    """Time that one round's calls of one network fill, within the limits below."""
    min_calls: int = 12
    max_calls: int = 100
    warmup_ms: float = 20.0
    min_busy: float = 0.97
    """Share of a round for which the worker must have had a core, or the round is left out."""
    max_spread: float = 0.02
    """Largest spread of a candidate's corrected medians in a reading that counts as ok."""
    max_anchor_spread: float = 0.10
    """Largest movement of the machine itself that a correction is trusted with."""
    max_attempts: int = 3
    """Readings of one candidate until one is ok."""
    recheck_every: int = 8
    """Candidates between re-measurements of an earlier one in a fresh worker; 0 does none."""
    prior_repeatability: float = 0.025
    """Assumed before any re-measurement, and worth four of them; where it is from: see ``reading``."""
    start_deadline_s: float = 120.0
    compile_deadline_s: float = 120.0
    check_deadline_s: float = 60.0
    classify_deadline_s: float = 300.0
    """For one batch of images."""
    time_deadline_s: float = 60.0

    @property
    def longest_task_s(self) -> float:
        """The time limit for compiling, or for checking and timing, one network on a bench."""
        timing_s = 2 * self.check_deadline_s + self.max_attempts * self.time_deadline_s
        return self.start_deadline_s + max(self.compile_deadline_s, timing_s)

    def as_json(self) -> dict[str, Any]:
        """Every field as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "MeasuringSettings":
        """Inverse of :meth:`as_json`.

        Raises:
            MeasuringError: if a field is unknown or no number.
        """
        known = {entry.name for entry in fields(cls)}
        for name, value in row.items():
            if name not in known or isinstance(value, bool) or not isinstance(value, int | float):
                raise MeasuringError(f"measuring settings have {name} = {value!r}, which is not known.")
        return cls(**row)
