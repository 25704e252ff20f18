"""Scales of weights: of 8 bits, those at which nothing is clipped; of fewer, those of least squared error.

Few integers are spread too thin by a channel's largest weight. A smaller scale, at which rounding and clipping
together have the least squared error, is found by trial (compare Nagel et al., arXiv:2106.08295, section 3.1).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from search_spaces.quant_spec import QuantSpec

FloatArray = NDArray[np.float64]

_SHRINKAGES: Final = np.linspace(1.0, 0.4, 61)
"""Of the scale at which nothing is clipped."""
_WHOLE_BYTE: Final = 8


def weight_scales(weights: FloatArray, spec: QuantSpec) -> FloatArray:
    """Scales that broadcast over the weights: of 8 bits, the largest weight's; of fewer, the least squared error's.

    Channels of zeros have scale 1.

    Args:
        weights: shape ``(outputs, ...)``.
        spec: the precision.
    """
    rows = weights.reshape(len(weights) if spec.weight_granularity == "channel" else 1, -1)
    largest = np.abs(rows).max(axis=1)
    scales: FloatArray = np.where(largest > np.finfo(np.float32).tiny, largest / spec.largest_weight, 1.0)
    if spec.weight_bits < _WHOLE_BYTE:
        candidates = scales * _SHRINKAGES[:, None]
        errors = [_squared_error(rows, candidate, spec) for candidate in candidates]
        scales = candidates[np.argmin(errors, axis=0), np.arange(len(rows))]
        scales = np.where(largest > np.finfo(np.float32).tiny, scales, 1.0)
    return scales.reshape(-1, *[1] * (weights.ndim - 1))


def _squared_error(rows: FloatArray, scales: FloatArray, spec: QuantSpec) -> FloatArray:
    errors: FloatArray = ((rows - rounded(rows, scales[:, None], spec)) ** 2).sum(axis=1)
    return errors


def rounded(weights: FloatArray, scales: FloatArray, spec: QuantSpec) -> FloatArray:
    """Weights at the values that the precision has for them."""
    steps = np.clip(np.round(weights / scales), -spec.largest_weight, spec.largest_weight)
    return np.asarray(steps * scales)
