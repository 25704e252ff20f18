"""The networks that a calibration chooses from: all sizes and, if precision is searched, every share of it."""

from typing import Final, Literal

import numpy as np

from hw_profiles.profile import DeviceProfile
from nas.search.restriction import Restriction, native_restriction
from search_spaces.space import IntArray, SearchSpace

Precisions = Literal["all", "fp32"]

_SPREAD: Final = 2000
_SMALL_LOG10: Final = 4.5
"""Spaces of at most this many genotypes (decimal logarithm) are used completely."""


def calibrated_precisions(space: SearchSpace, profile: DeviceProfile, precisions: Precisions) -> Restriction:
    """What a device's calibration may measure: of all precisions, those that a search is offered by default."""
    return native_restriction(space, profile) if precisions == "all" else Restriction(precisions=("fp32",))


def population(space: SearchSpace, seed: int, restriction: Restriction | None = None) -> IntArray:
    """Distinct canonical genotypes of networks that can be built, shape ``(n, genes)``.

    All networks of a small space; otherwise about 2,000, including the smallest and the largest in each precision.

    Args:
        space: the space.
        seed: of the sample.
        restriction: precisions that units may have; all by default.
    """
    ends = np.stack([space.smallest(), space.largest()])
    if space.size_log10 <= _SMALL_LOG10:
        rows = space.all_networks()
    else:
        rows = np.concatenate([ends, space.sample_spread(_SPREAD, np.random.default_rng(seed))])
    if len(space.policy_columns):
        rows = np.concatenate([rows, *(space.with_policy(ends, choice) for choice in space.precisions[1:])])
        rows = (restriction or Restriction()).project(space, rows)
    distinct = np.unique(rows, axis=0)
    return distinct[space.connected(distinct)]
