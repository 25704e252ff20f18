"""The networks that a calibration chooses from: of every size and, where it is searched, every share of int8."""

from typing import Final, Literal

import numpy as np

from search_spaces.space import IntArray, SearchSpace

Precisions = Literal["all", "fp32"]

_SPREAD: Final = 2000


def population(space: SearchSpace, seed: int, precisions: Precisions) -> IntArray:
    """About 2,000 distinct canonical genotypes, the smallest and the largest among them, shape ``(n, genes)``."""
    ends = np.stack([space.smallest(), space.largest()])
    rows = np.concatenate([ends, space.sample_spread(_SPREAD, np.random.default_rng(seed))])
    if len(space.policy_columns):
        if precisions == "fp32":
            rows = space.with_policy(rows, "fp32")
        else:
            rows = np.concatenate([rows, space.with_policy(ends, "int8")])
    return np.unique(rows, axis=0)
