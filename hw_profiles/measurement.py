"""Measurements and measurement failures of candidates on devices, both as values."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from hw_profiles.errors import MeasuringError

Quality = Literal["ok", "noisy"]
Stage = Literal["compile", "check", "run", "timeout", "crash"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The latency of one candidate under one profile, with what it was derived from."""

    candidate_id: str
    profile_id: str
    fingerprint: str
    """Of the profile: measurements compare only within one."""
    latency_p50_ms: float
    """Median single invocation, corrected by ``anchor_factor``."""
    latency_p95_ms: float
    """95th percentile of single invocations, corrected by ``anchor_factor``."""
    samples_ms: tuple[float, ...]
    """Raw single invocations in the order taken, uncorrected."""
    rounds: int
    """Equal parts that the samples were taken in, interleaved with the anchor."""
    spread: float
    """Disagreement of the rounds' medians, as a fraction of the median."""
    anchor_factor: float
    """Anchor's reference latency over its latency during this measurement; below 1 on a slowed machine."""
    repeatability: float
    """Expected relative standard deviation of ``latency_p50_ms`` when measured again in another session."""
    quality: Quality
    attempts: int
    """Times it was timed until a reading passed, or gave up as noisy."""
    artifact: Path
    artifact_sha256: str
    size_bytes: int
    """Size of the artifact."""
    max_abs_error: float
    """Largest absolute difference to the outputs that the artifact must reproduce."""
    top1_agreement: float
    """Fraction of the reference images where the largest output is PyTorch's."""
    compile_s: float
    measured_at: str
    """UTC, ISO 8601."""
    load_time_ms: float | None = None
    """See :mod:`hw_profiles.footprint`; None in measurements of earlier versions."""
    peak_memory_bytes: int | None = None
    """See :mod:`hw_profiles.footprint`; None in measurements of earlier versions and where the system does not tell."""

    def as_json(self) -> dict[str, Any]:
        """Every field as a JSON object."""
        return asdict(self) | {"artifact": str(self.artifact), "samples_ms": list(self.samples_ms)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Measurement":
        """Inverse of :meth:`as_json`; rows of earlier versions may lack what has a default.

        Raises:
            MeasuringError: if fields are missing or unknown, or the quality is.
        """
        _check_fields(cls, row)
        if row["quality"] not in get_args(Quality):
            raise MeasuringError(f"a measurement of quality {row['quality']!r}; known: {', '.join(get_args(Quality))}.")
        return cls(**(dict(row) | {"artifact": Path(row["artifact"]), "samples_ms": tuple(row["samples_ms"])}))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementFailure:
    """Why one candidate has no latency under one profile; the batch continues."""

    candidate_id: str
    profile_id: str
    fingerprint: str
    stage: Stage
    message: str
    measured_at: str
    """UTC, ISO 8601."""

    def as_json(self) -> dict[str, Any]:
        """Every field as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "MeasurementFailure":
        """Inverse of :meth:`as_json`.

        Raises:
            MeasuringError: if fields are missing or unknown, or the stage is.
        """
        _check_fields(cls, row)
        if row["stage"] not in get_args(Stage):
            raise MeasuringError(f"a failure at stage {row['stage']!r}; known: {', '.join(get_args(Stage))}.")
        return cls(**row)


def _check_fields(kind: type[Measurement] | type[MeasurementFailure], row: Mapping[str, Any]) -> None:
    known = {entry.name for entry in fields(kind)}
    needed = {entry.name for entry in fields(kind) if entry.default is MISSING}
    wrong = sorted((row.keys() - known) | (needed - row.keys()))
    if wrong:
        raise MeasuringError(f"a stored {kind.__name__} has missing or unknown fields: {', '.join(wrong)}.")
