"""Validation of samples: shapes, finiteness and variety."""

import numpy as np
from numpy.typing import NDArray

from predictors.errors import UnfitDataError
from search_spaces.space import IntArray, SearchSpace

FloatArray = NDArray[np.float64]

MIN_SAMPLES = 5
_FASTEST_MS = 1e-6
_SLOWEST_MS = 1e9


def checked_samples(
    space: SearchSpace, genotypes: IntArray, values: FloatArray, *, what: str, low: float, high: float
) -> tuple[IntArray, FloatArray]:
    """Canonical genotypes and float values; ``what`` names the values in messages.

    Raises:
        InvalidGenotypeError: if the genotypes are not of the space.
        UnfitDataError: for too few samples, values that are not finite or not
            within ``low`` to ``high``, one network only, or equal values.
    """
    canonical = space.canonicalize(space.validate(genotypes))
    values = np.asarray(values, dtype=np.float64)
    if values.shape != (len(canonical),):
        raise UnfitDataError(f"{len(canonical)} candidates came with {what} of shape {values.shape}; give one each.")
    if len(values) < MIN_SAMPLES:
        raise UnfitDataError(
            f"{len(values)} samples are too few to fit {what}; at least {MIN_SAMPLES} are needed; 20 are recommended."
        )
    bad = np.flatnonzero(~np.isfinite(values) | (values < low) | (values > high))
    if len(bad):
        raise UnfitDataError(
            f"{what} of sample {int(bad[0]) + 1} is {values[bad[0]]}; it must be finite, from {low:g} to {high:g}."
        )
    if len(np.unique(canonical, axis=0)) < 2:
        raise UnfitDataError(f"all {len(values)} samples are the same network; measure different ones.")
    if np.ptp(values) <= 1e-12 * abs(float(values[0])):
        raise UnfitDataError(
            f"all {len(values)} samples have the same {what} ({values[0]:g}); nothing can be learned from them."
        )
    return canonical, values


def checked_latencies(space: SearchSpace, genotypes: IntArray, latency_ms: FloatArray) -> tuple[IntArray, FloatArray]:
    """:func:`checked_samples` of latencies in milliseconds."""
    return checked_samples(space, genotypes, latency_ms, what="latencies in ms", low=_FASTEST_MS, high=_SLOWEST_MS)
