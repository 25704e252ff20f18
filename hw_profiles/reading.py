"""Corrected latency from interleaved rounds of an anchor and a candidate.

Each round's candidate calls are scaled by how the anchor's calls beside them compare with
the anchor's reference, so what slows both (clock, temperature, neighbours) cancels. The
latency is the median over rounds of the round's median. Its relative standard deviation
over independent sessions on a busy 2-core machine (8 networks other than the anchor, 5 to
8 sessions each) was 0.8 to 3.8 %, root mean square 2.5 %. Uncorrected it was 1.2 to 4.7 %;
the correction made six of the eight better and two worse: a network much slower than the
anchor is not slowed by the same things.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw_profiles.bench import Rounds, Timing
from hw_profiles.measurement import Quality
from hw_profiles.measuring_settings import MeasuringSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One attempt at timing a candidate."""

    p50_ms: float
    p95_ms: float
    spread: float
    """Interquartile range of the rounds' corrected medians, as a fraction of their median."""
    anchor_factor: float
    anchor_spread: float
    """The same of the anchor's uncorrected medians: how much the machine itself moved."""
    quiet_rounds: int
    """Rounds in which the worker had a core for itself."""
    samples_ms: tuple[float, ...]
    """Candidate's raw calls of all rounds."""
    rounds: int

    @classmethod
    def from_rounds(cls, taken: Rounds, anchor_reference_ms: float, settings: MeasuringSettings) -> "Reading":
        """Reads one attempt; without an anchor nothing is corrected.

        Rounds busy less than ``settings.min_busy`` are left out as long as two quiet ones remain.
        """
        quiet = [index for index, share in enumerate(taken.busy) if share >= settings.min_busy]
        used = quiet if len(quiet) >= 2 else range(len(taken.busy))
        anchor = np.array([np.median(taken.anchor_ms[index]) for index in used] if taken.anchor_ms else [1.0])
        factors = anchor_reference_ms / anchor if taken.anchor_ms else np.ones(len(used))
        corrected = [
            np.asarray(taken.candidate_ms[index]) * factor for index, factor in zip(used, factors, strict=True)
        ]
        medians = np.array([np.median(calls) for calls in corrected])
        return cls(
            p50_ms=float(np.median(medians)),
            p95_ms=float(np.quantile(np.concatenate(corrected), 0.95)),
            spread=relative_iqr(medians),
            anchor_factor=float(np.median(factors)),
            anchor_spread=relative_iqr(anchor),
            quiet_rounds=len(quiet),
            samples_ms=tuple(call for calls in taken.candidate_ms for call in calls),
            rounds=len(taken.busy),
        )

    def passes(self, settings: MeasuringSettings) -> bool:
        """Whether the reading has quality ``ok``: enough quiet rounds, and rounds that agree."""
        return (
            2 * self.quiet_rounds >= self.rounds
            and self.spread <= settings.max_spread
            and self.anchor_spread <= settings.max_anchor_spread
        )


def chosen_reading(timing: Timing, anchor_reference_ms: float, settings: MeasuringSettings) -> tuple[Reading, Quality]:
    """The first reading that passes, or the steadiest."""
    readings = [Reading.from_rounds(rounds, anchor_reference_ms, settings) for rounds in timing.attempts]
    for reading in readings:
        if reading.passes(settings):
            return reading, "ok"
    return min(readings, key=lambda reading: reading.spread + reading.anchor_spread), "noisy"


def relative_iqr(values: NDArray[np.float64]) -> float:
    """Interquartile range over median, of positive values shape (n,)."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float((high - low) / middle)
