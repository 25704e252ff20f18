"""The range of the training samples: candidates outside it are predicted, but marked."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search_spaces.facts import FACTS
from search_spaces.space import BoolArray

FloatArray = NDArray[np.float64]

_WATCHED: Final = tuple(
    FACTS.index(name)
    for name in FACTS
    if name in ("macs", "parameters", "activation_bytes", "kernels", "peak_activation_bytes")
    or name.startswith("macs:")
)
_SLACK: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedRange:
    """Lowest and highest log facts of the training samples."""

    low: FloatArray
    high: FloatArray

    @classmethod
    def from_facts(cls, facts: FloatArray) -> "TrainedRange":
        """The range of raw facts of shape ``(n, len(FACTS))``."""
        logs = np.log1p(facts[:, _WATCHED])
        return cls(low=logs.min(axis=0), high=logs.max(axis=0))

    def outside(self, facts: FloatArray) -> BoolArray:
        """Which rows have a fact more than a tenth of the range (at least 10 %) beyond it, shape ``(n,)``."""
        logs = np.log1p(facts[:, _WATCHED])
        slack = np.maximum(_SLACK * (self.high - self.low), _SLACK)
        beyond = (logs < self.low - slack) | (logs > self.high + slack)
        return np.asarray(beyond.any(axis=1))

    def arrays(self) -> dict[str, FloatArray]:
        """For saving."""
        return {"range_low": self.low, "range_high": self.high}

    @classmethod
    def from_arrays(cls, arrays: dict[str, FloatArray]) -> "TrainedRange":
        """What :meth:`arrays` gave."""
        return cls(low=arrays["range_low"], high=arrays["range_high"])
