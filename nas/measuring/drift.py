"""Drift detection: whether a device still measures what it measured before.

A few of the networks that were measured before are measured again. Two measurements of
one network differ by the device's repeatability; where the typical difference is far
beyond that, the device has changed (another clock, another scheduler, worn cooling)
although its profile is the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from nas.measuring.context import DeviceContext
from nas.measuring.device_measurements import DeviceSamples
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray

MIN_KNOWN: Final = 5
"""With fewer earlier measurements there is too little to compare with."""
_CHECKED: Final = 3
_STANDARD_DEVIATIONS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCheck:
    """Earlier measurements against fresh ones."""

    checked: int
    """Networks measured again successfully."""
    change_pct: float
    """Median change of their latency in percent, with its sign."""
    allowed_pct: float
    """What the device's repeatability explains."""

    @property
    def drifted(self) -> bool:
        """Whether the earlier measurements must no longer be used."""
        return self.checked > 0 and abs(self.change_pct) > self.allowed_pct


def find_drift(
    context: DeviceContext, earlier: DeviceSamples, measure: Callable[[IntArray], FloatArray]
) -> DriftCheck | None:
    """Measures a few earlier networks again and stores what is found: after a drift, earlier measurements do not count.

    Args:
        context: the device and space.
        earlier: what is known of them.
        measure: takes fresh measurements, in milliseconds; NaN for a failed one.

    Returns:
        None if there is too little to compare with.
    """
    if len(earlier) < MIN_KNOWN:
        return None
    last = context.store.measurements.last_number()
    check = check_drift(earlier, measure)
    if check.drifted:
        context.store.drifts.add(
            context.profile,
            last_measurement=last,
            checked=check.checked,
            change_pct=check.change_pct,
            allowed_pct=check.allowed_pct,
            lease=context.lease,
        )
        context.progress.say(
            f"{context.profile.id} has drifted: the latency of {check.checked} earlier networks changed by"
            f" {check.change_pct:+.1f} % (its repeatability explains {check.allowed_pct:.1f} %). It needs"
            f" recalibration, which happens now; its {len(earlier)} earlier measurements are discarded."
        )
    return check


def check_drift(earlier: DeviceSamples, measure: Callable[[IntArray], FloatArray]) -> DriftCheck:
    """Measures the fastest, the middle and the slowest of the earlier networks again."""
    order = np.argsort(earlier.latency_ms, kind="stable")
    rows = np.unique(order[np.linspace(0, len(order) - 1, _CHECKED).round().astype(int)])
    changes = np.log(measure(earlier.genotypes[rows]) / earlier.latency_ms[rows])
    changes = changes[np.isfinite(changes)]
    allowed = _STANDARD_DEVIATIONS * np.sqrt(2) * earlier.repeatability
    return DriftCheck(
        checked=len(changes),
        change_pct=float(np.expm1(np.median(changes)) * 100) if len(changes) else 0.0,
        allowed_pct=float(np.expm1(allowed) * 100),
    )
