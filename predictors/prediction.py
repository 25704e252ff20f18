"""What a predictor answers: a value and the interval it vouches for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


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
