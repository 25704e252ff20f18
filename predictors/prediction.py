"""A prediction: values with 90 % intervals."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_Z90: Final = 1.645
"""Standard deviations of a normal distribution from its middle to the ends of its 90 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prediction:
    """Values with 90 % intervals, arrays of shape ``(n,)`` in the predictor's own unit.

    ``low`` and ``high`` are meant to hold the true value of 90 of 100 candidates.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray

    def __len__(self) -> int:
        return len(self.value)

    def at(self, deviations: FloatArray, *, log: bool = False) -> FloatArray:
        """Values so many standard deviations away, shape ``(n,)``; of a log-normal error where ``log``.

        The intervals are taken for those of a normal distribution.
        """
        if log:
            scaled: FloatArray = self.value * np.exp(deviations * np.log(self.high / self.low) / (2 * _Z90))
            return scaled
        shifted: FloatArray = self.value + deviations * (self.high - self.low) / (2 * _Z90)
        return shifted
