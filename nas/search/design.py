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
    places = _embedding(space, rows)
    chosen = list(range(len(corners)))
    distance = np.min([((places - places[row]) ** 2).sum(axis=1) for row in chosen], axis=0)
    while len(chosen) < min(count, len(places)):
        farthest = int(distance.argmax())
        chosen.append(farthest)
        distance = np.minimum(distance, ((places - places[farthest]) ** 2).sum(axis=1))
    return rows[chosen]


def stratified_candidates(space: SearchSpace, candidates: IntArray, count: int, seed: int) -> IntArray:
    """A start among given distinct genotypes, shape ``(k, genes)``: both ends of the cost and a draw per stratum.

    The cheapest and the most expensive candidate, then one random candidate from each of as many strata of
    log MACs as are left, by rising cost. Draws, not extremes, fill the middle: predictors learn most
    from networks like those that they will predict.
    """
    order = np.argsort(CostFacts(space).column("macs", candidates), kind="stable")
    if count >= len(order) or count < 3:
        return candidates[order[np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).astype(np.int64))]]
    rng = np.random.default_rng(seed)
    drawn = [int(rng.choice(stratum)) for stratum in np.array_split(order[1:-1], count - 2)]
    return candidates[[int(order[0]), int(order[-1]), *drawn]]


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
