"""Report of a device check: repeatability, disturbances, and what to do about them."""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from hw_profiles.conditions import Conditions

_GOOD_PCT: Final = 2.0
_USABLE_PCT: Final = 5.0
_MUCH_STEAL: Final = 0.02
_MUCH_OTHER: Final = 0.1
"""Share of all cores."""

Grade = Literal["good", "usable", "poor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeatability:
    """Relative standard deviation of single readings of one network, in percent."""

    candidate_id: str
    size: str
    latency_p50_ms: float
    """Median of the corrected readings."""
    corrected_pct: float
    """Of readings as hwnas uses them, corrected by the anchor beside them."""
    uncorrected_pct: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCheckReport:
    """The outcome of a device check."""

    device: str
    fingerprint: str
    repeats: int
    networks: tuple[Repeatability, ...]
    repeatability_pct: float
    """Median over the networks, corrected."""
    uncorrected_pct: float
    """The same, uncorrected."""
    distinguishable_pct: float
    """Difference between two networks that a single reading of each tells in 19 of 20 cases."""
    anchor_spread_pct: float
    """Relative standard deviation of the anchor's latency over the check."""
    anchor_drift_pct: float | None
    """Its change from start to end if that is significant, else None."""
    noisy: int
    """Timings that failed their own quality check, of ``timings``."""
    timings: int
    busy: float
    """Median share of a round for which the timing thread had a core."""
    other_cores: float | None
    """Cores that other programs used meanwhile; None if unknown."""
    steal: float | None
    """Share of time that a hypervisor took; None if unknown."""
    setup: Conditions | None
    """How the processor is set up; None if unknown."""
    cores: int

    @property
    def grade(self) -> Grade:
        """``good`` up to 2 % repeatability if most timings pass their quality check, ``usable`` up to 5 %."""
        if self.repeatability_pct <= _GOOD_PCT and 2 * self.noisy <= self.timings:
            return "good"
        return "usable" if self.repeatability_pct <= _USABLE_PCT else "poor"

    @property
    def verdict(self) -> str:
        """One sentence."""
        consequence = {
            "good": "fit for calibrations and searches",
            "usable": "fit for searches, but calibrations need more samples",
            "poor": "not fit to measure on before what disturbs it is gone",
        }[self.grade]
        noise = f", though {self.noisy} of {self.timings} timings were noisy" if 2 * self.noisy > self.timings else ""
        return (
            f"{self.device} repeats within {self.repeatability_pct:.1f} %{noise} ({self.grade}), so that one reading"
            f" each tells two networks apart that differ by {self.distinguishable_pct:.1f} %: {consequence}."
        )

    def advice(self) -> tuple[str, ...]:
        """Disturbances of the device and what to do about them, strongest first; may be empty."""
        return tuple(
            text
            for text in (self._of_neighbours(), self._of_programs(), self._of_drift(), *self._of_setup())
            if text is not None
        )

    def as_json(self) -> dict[str, Any]:
        """All figures, the grade, the verdict and the advice as one JSON object."""
        return asdict(self) | {"grade": self.grade, "verdict": self.verdict, "advice": list(self.advice())}

    def _of_neighbours(self) -> str | None:
        if self.steal is None or self.steal < _MUCH_STEAL:
            return None
        return (
            f"a hypervisor gave {self.steal:.0%} of the time to other machines: use a machine, or an instance type,"
            " with cores of its own."
        )

    def _of_programs(self) -> str | None:
        if self.other_cores is None or self.other_cores < _MUCH_OTHER * self.cores:
            return None
        return (
            f"other programs used {self.other_cores:.1f} of {self.cores} cores: stop them while hwnas measures"
            " (`top` shows them)."
        )

    def _of_drift(self) -> str | None:
        if self.anchor_drift_pct is None:
            return None
        direction = "slower" if self.anchor_drift_pct > 0 else "faster"
        return (
            f"the processor became {abs(self.anchor_drift_pct):.1f} % {direction} during the check, as with heat or a"
            " changing clock: cool it, or wait until it is warm; readings are corrected for it by the anchor."
        )

    def _of_setup(self) -> tuple[str | None, ...]:
        setup = self.setup
        if setup is None or self.grade == "good":
            return ()
        governor = turbo = smt = None
        if setup.governor not in (None, "performance"):
            governor = (
                f"the clock's governor is {setup.governor!r}: set it to 'performance'"
                " (`cpupower frequency-set --governor performance`)."
            )
        if setup.turbo:
            turbo = "turbo is on, so that the clock follows heat and neighbours: turn it off to measure."
        if setup.smt:
            smt = (
                "two hardware threads share a core (SMT), so that a neighbour slows a network: turn it off to measure"
                " (`echo off > /sys/devices/system/cpu/smt/control`)."
            )
        return (governor, turbo, smt)
