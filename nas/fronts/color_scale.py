"""The third objective of a front as the color of its points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.fronts.front import Member
from nas.metrics import METRICS
from search_spaces.facts import FloatArray

_DRAWN = ("latency_p50_ms", "accuracy")
_MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColorScale:
    """Values of one metric, one per member, in the unit of ``label``; NaN where a member has none."""

    label: str
    values: FloatArray

    @classmethod
    def of(cls, objectives: Sequence[str], members: Sequence[Member]) -> "ColorScale | None":
        """Of the first objective that the axes, p50 latency and accuracy, do not show; None where they show all."""
        others = [name for name in objectives if name not in _DRAWN]
        if not others:
            return None
        metric = METRICS[others[0]]
        unit, divisor = ("MiB", _MIB) if metric.unit == "bytes" else (metric.unit, 1)
        known = np.array([member.values.get(metric.name, np.nan) for member in members], dtype=np.float64)
        name = metric.name.removesuffix(f"_{metric.unit}").replace("_", " ")
        return cls(label=f"{name}, {unit}", values=known / divisor)
