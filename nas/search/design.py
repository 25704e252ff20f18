"""The first candidates of a search or calibration: the corners and a spread between.

The corners are the smallest and the largest network in each precision. The rest are
chosen one after another, farthest (in the encoding and in log cost) from what is
already in, among random candidates of every size and share of quantized units.
"""

import numpy as np

from search_spaces.facts import CostFacts, FloatArray
from search_spaces.space import IntArray, SearchSpace

_POOL = 2000


def designed_candidates(space: SearchSpace, count: int, seed: int) -> IntArray:
    """``count`` distinct canonical genotypes, shape ``(count, genes)``, corners first.

    The design of a smaller count is the beginning of a larger one's.
    """
    rng = np.random.default_rng(seed)
    corners = _corners(space)
    if count <= len(corners):
        return corners[:count]
    pool = space.sample_spread(_POOL, rng)
    seen = {row.tobytes() for row in corners}
    pool = np.array([row for row in np.unique(pool, axis=0) if row.tobytes() not in seen], dtype=np.int64)
    rows = np.concatenate([corners, pool])
    return rows[_farthest_first(_embedding(space, rows), len(corners), count)]


def spread_candidates(space: SearchSpace, candidates: IntArray, count: int) -> IntArray:
    """The same among given distinct genotypes, shape ``(k, genes)``: the cheapest and the dearest first."""
    macs = CostFacts(space).column("macs", candidates)
    ends = [int(macs.argmin()), int(macs.argmax())]
    rows = candidates[[*ends, *np.setdiff1d(np.arange(len(candidates)), ends)]]
    return rows[_farthest_first(_embedding(space, rows), len(set(ends)), count)]


def _farthest_first(places: FloatArray, given: int, count: int) -> list[int]:
    """Row numbers: the first ``given``, then one after another the farthest from all before."""
    chosen = list(range(given))
    distance = np.min([((places - places[row]) ** 2).sum(axis=1) for row in chosen], axis=0)
    while len(chosen) < min(count, len(places)):
        farthest = int(distance.argmax())
        chosen.append(farthest)
        distance = np.minimum(distance, ((places - places[farthest]) ** 2).sum(axis=1))
    return chosen[:count]


def _corners(space: SearchSpace) -> IntArray:
    ends = np.stack([space.smallest(), space.largest()])
    if len(space.policy_columns):
        choices = space.genes[int(space.policy_columns[0])].choices
        ends = np.concatenate([space.with_policy(ends, choice) for choice in choices])
    _, first = np.unique(ends, axis=0, return_index=True)
    return ends[np.sort(first)]


def _embedding(space: SearchSpace, genotypes: IntArray) -> FloatArray:
    """Scaled genes, and log MACs and bytes weighted as much as all genes together; shape ``(n, genes + 2)``."""
    facts = CostFacts(space)
    genes = genotypes / np.maximum(space.cardinalities - 1, 1)
    costs = np.log(np.stack([facts.column(name, genotypes) for name in ("macs", "activation_bytes")], axis=1))
    width = np.maximum(costs.max(axis=0) - costs.min(axis=0), 1e-9)
    return np.concatenate([genes / np.sqrt(len(space.genes)), (costs - costs.min(axis=0)) / width], axis=1)
