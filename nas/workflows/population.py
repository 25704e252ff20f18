"""The networks that a calibration chooses from: all sizes and, if precision is searched, all shares of int8."""

from typing import Final, Literal

import numpy as np

from search_spaces.space import IntArray, SearchSpace

Precisions = Literal["all", "fp32"]

_SPREAD: Final = 2000
_SMALL_LOG10: Final = 4.5
"""Spaces of at most this many genotypes (decimal logarithm) are used completely."""


def population(space: SearchSpace, seed: int, precisions: Precisions) -> IntArray:
    """Distinct canonical genotypes of networks that can be built, shape ``(n, genes)``.

    All networks of a small space; otherwise about 2,000, including the smallest and the largest.
    """
    ends = np.stack([space.smallest(), space.largest()])
    if space.size_log10 <= _SMALL_LOG10:
        rows = space.all_networks()
    else:
        rows = np.concatenate([ends, space.sample_spread(_SPREAD, np.random.default_rng(seed))])
    if len(space.policy_columns):
        if precisions == "fp32":
            rows = space.with_policy(rows, "fp32")
        else:
            rows = np.concatenate([rows, *(space.with_policy(ends, choice) for choice in space.precisions[1:])])
    distinct = np.unique(rows, axis=0)
    return distinct[space.connected(distinct)]
