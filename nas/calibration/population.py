"""The networks that a calibration chooses from: of every size and, where it is searched, every share of int8."""

from typing import Literal

import numpy as np

from nas.search.design import spread_candidates
from search_spaces.space import IntArray, SearchSpace

Precisions = Literal["all", "fp32"]


def population(space: SearchSpace, seed: int, precisions: Precisions) -> IntArray:
    """About 2,000 distinct canonical genotypes, the smallest and the largest among them, shape ``(n, genes)``."""
    ends = np.stack([space.smallest(), space.largest()])
    rows = np.concatenate([ends, spread_candidates(space, np.random.default_rng(seed))])
    if len(space.policy_columns):
        if precisions == "fp32":
            rows = space.with_policy(rows, "fp32")
        else:
            rows = np.concatenate([rows, space.with_policy(ends, "int8")])
    return np.unique(rows, axis=0)
