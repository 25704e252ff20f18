"""What else a processor did while a network was timed, and how it is set up, as Linux tells."""

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from hw_profiles.errors import MeasuringError

_ROOT: Final = Path("/")
_CPU: Final = "sys/devices/system/cpu"
_TICKS_PER_S: Final = 100.0
"""``USER_HZ``, which Linux keeps at 100 on every architecture that runtimes are built for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Of a stretch of time. A field is None where the operating system does not tell."""

    cores_used: float | None
    """Cores that all processes used on average, the timed network's included."""
    steal: float | None
    """Share of the time of all cores that a hypervisor gave to other machines."""
    governor: str | None
    """How the clock is chosen, such as ``performance`` or ``powersave``; virtual machines rarely tell."""
    turbo: bool | None
    """Whether cores may run above their base clock for as long as power and heat allow."""
    smt: bool | None
    """Whether two hardware threads share a core."""
    virtual: bool | None
    """Whether this is a virtual machine."""

    def as_json(self) -> dict[str, Any]:
        """Every field as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Conditions":
        """Inverse of :meth:`as_json`.

        Raises:
            MeasuringError: where it is none.
        """
        try:
            cores_used, steal = (None if row[name] is None else float(row[name]) for name in ("cores_used", "steal"))
            turbo, smt, virtual = (row[name] for name in ("turbo", "smt", "virtual"))
            governor = row["governor"]
        except (KeyError, TypeError, ValueError) as error:
            raise MeasuringError("reported conditions lack a field, or have one of another type.") from error
        figures_are_right = all(value is None or (math.isfinite(value) and value >= 0) for value in (cores_used, steal))
        switches_are_right = all(value is None or isinstance(value, bool) for value in (turbo, smt, virtual))
        if not (figures_are_right and switches_are_right and isinstance(governor, str | None)):
            raise MeasuringError("reported conditions have an impossible figure.")
        return cls(
            cores_used=cores_used,
            steal=steal,
            governor=None if governor is None else governor[:100],
            turbo=turbo,
            smt=smt,
            virtual=virtual,
        )


class ConditionsWatch:
    """Watches from when it is made."""

    def __init__(self, root: Path = _ROOT) -> None:
        """``root`` is where ``proc`` and ``sys`` lie."""
        self._root = root
        self._started_s = time.monotonic()
        self._before = _ticks(root)

    def conditions(self) -> Conditions:
        """Those until now."""
        elapsed_s = time.monotonic() - self._started_s
        cores_used = steal = None
        after = _ticks(self._root)
        if self._before is not None and after is not None and elapsed_s > 0:
            spent = [now - then for now, then in zip(after, self._before, strict=True)]
            user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = spent
            cores_used = (user + nice + system + interrupts + soft_interrupts) / _TICKS_PER_S / elapsed_s
            steal = stolen / sum(spent) if sum(spent) > 0 else 0.0
        return Conditions(
            cores_used=cores_used,
            steal=steal,
            governor=_read(self._root / _CPU / "cpu0/cpufreq/scaling_governor"),
            turbo=_turbo(self._root / _CPU),
            smt=_switch(self._root / _CPU / "smt/active"),
            virtual=_is_virtual(self._root),
        )


def _ticks(root: Path) -> list[int] | None:
    """Ticks of all cores since the start: user, nice, system, idle, iowait, irq, softirq, steal."""
    line = (_read(root / "proc/stat") or "").partition("\n")[0].split()
    return [int(field) for field in line[1:9]] if line[:1] == ["cpu"] and len(line) >= 9 else None


def _turbo(folder: Path) -> bool | None:
    disabled = _switch(folder / "intel_pstate/no_turbo")
    return _switch(folder / "cpufreq/boost") if disabled is None else not disabled


def _is_virtual(root: Path) -> bool | None:
    described = _read(root / "proc/cpuinfo")
    if described is None:
        return None
    flags = next((line for line in described.splitlines() if line.startswith(("flags", "Features"))), "")
    return "hypervisor" in flags.split()


def _switch(path: Path) -> bool | None:
    text = _read(path)
    return None if text not in ("0", "1") else text == "1"


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return None
