"""From interleaved rounds of an anchor and a candidate to one corrected latency.

Each round's candidate calls are scaled by how the anchor's calls beside them compare with
the anchor's reference, so what slows both (clock, temperature, neighbours) cancels. The
latency is the median over rounds of the round's median. Its relative standard deviation
over independent sessions on a busy 2-core machine (8 networks other than the anchor, 5 to
8 sessions each) was 0.8 to 3.8 %, root mean square 2.5 %. Uncorrected it was 1.2 to 4.7 %;
the correction made six of the eight better and two worse: a network much slower than the
anchor is not slowed by the same things.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
    def of(
        cls,
        *,
        anchor_ms: Sequence[Sequence[float]],
        candidate_ms: Sequence[Sequence[float]],
        busy: Sequence[float],
        anchor_reference_ms: float,
        min_busy: float,
    ) -> "Reading":
        """Reads rounds: ``anchor_ms[round][call]``, ``candidate_ms[round][call]``, ``busy[round]``.

        Rounds busy less than ``min_busy`` are left out as long as two quiet ones remain.
        """
        quiet = [index for index, share in enumerate(busy) if share >= min_busy]
        used = quiet if len(quiet) >= 2 else range(len(busy))
        anchor = np.array([np.median(anchor_ms[index]) for index in used])
        factors = anchor_reference_ms / anchor
        corrected = [np.asarray(candidate_ms[index]) * factor for index, factor in zip(used, factors, strict=True)]
        medians = np.array([np.median(calls) for calls in corrected])
        return cls(
            p50_ms=float(np.median(medians)),
            p95_ms=float(np.quantile(np.concatenate(corrected), 0.95)),
            spread=relative_iqr(medians),
            anchor_factor=float(np.median(factors)),
            anchor_spread=relative_iqr(anchor),
            quiet_rounds=len(quiet),
            samples_ms=tuple(call for calls in candidate_ms for call in calls),
            rounds=len(busy),
        )


def relative_iqr(values: NDArray[np.float64]) -> float:
    """Interquartile range over median, of positive values shape (n,)."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float((high - low) / middle)
