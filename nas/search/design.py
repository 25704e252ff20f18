"""The initial candidates of a search or calibration: the corners, and candidates spread between them.

The corners are the smallest and the largest network in each precision. The rest are
chosen one after another, farthest (in the encoding and in log cost) from what is
already in, among random candidates of every size and share of quantized units.
"""

import numpy as np

from nas.search.pareto import hypervolume_gains
from nas.search.restriction import Restriction, distinct_rows
from search_spaces.facts import CostFacts, FloatArray
from search_spaces.space import IntArray, SearchSpace

_POOL = 2000
_BETA = 5.0
"""Of the Beta distribution of exponents: around a half, seldom near 0 or 1."""
_REFERENCE = 1.6
"""Where the candidates span 0 to 1; well outside, so that the ends are chosen early."""
_RANDOM_SHARE = 4
"""One in so many is random."""


def designed_candidates(space: SearchSpace, count: int, seed: int, restriction: Restriction | None = None) -> IntArray:
    """``count`` distinct canonical genotypes, shape ``(count, genes)``, corners first.

    The design of a smaller count is the beginning of a larger one's. A restriction may leave fewer.
    """
    rng = np.random.default_rng(seed)
    allowed = restriction or Restriction()
    corners = distinct_rows(allowed.project(space, _corners(space)))
    if count <= len(corners):
        return corners[:count]
    pool = allowed.project(space, space.sample_spread(_POOL, rng))
    seen = {row.tobytes() for row in corners}
    fresh = [row for row in np.unique(pool, axis=0) if row.tobytes() not in seen]
    pool = np.array(fresh, dtype=np.int64).reshape(len(fresh), len(space.genes))
    rows = np.concatenate([corners, pool])
    places = _embedding(space, rows)
    chosen = list(range(len(corners)))
    distance = np.min([((places - places[row]) ** 2).sum(axis=1) for row in chosen], axis=0)
    while len(chosen) < min(count, len(places)):
        farthest = int(distance.argmax())
        chosen.append(farthest)
        distance = np.minimum(distance, ((places - places[farthest]) ** 2).sum(axis=1))
    return rows[chosen]


def promising_candidates(space: SearchSpace, candidates: IntArray, count: int, seed: int) -> IntArray:
    """A start among given distinct genotypes, shape ``(k, genes)``: the front that cost facts suggest, and random ones.

    Before anything is measured, networks with more work and more bytes moved can be expected to be
    slower, and those with more work and more parameters more accurate. How much each counts depends on
    device and task, so each choice draws the exponents of both products anew. It is the candidate
    that adds the most hypervolume to the front of those chosen before, as the drawn products have it. A
    quarter of the start is random: predictors trained on a front alone cannot tell what lies behind it.

    Returns:
        ``count`` rows, or all candidates where there are fewer; deterministic in ``seed``.
    """
    rng = np.random.default_rng(seed)
    guided = min(count, len(candidates)) - count // _RANDOM_SHARE
    facts = CostFacts(space)
    names = ("macs", "activation_bytes", "parameters")
    macs, moved, parameters = (np.log(np.maximum(facts.column(name, candidates), 1.0)) for name in names)
    reference = np.full(2, _REFERENCE)
    chosen: list[int] = []
    for _ in range(guided):
        slow, able = rng.beta(_BETA, _BETA, size=2)
        losses = np.stack([slow * macs + (1.0 - slow) * moved, -able * macs - (1.0 - able) * parameters], axis=1)
        width = losses.max(axis=0) - losses.min(axis=0)
        losses = (losses - losses.min(axis=0)) / np.where(width > 0, width, 1.0)
        gains = hypervolume_gains(losses, losses[chosen], reference)
        gains[chosen] = 0.0
        if gains.max() > 0:
            chosen.append(int(gains.argmax()))
    rest = np.setdiff1d(np.arange(len(candidates)), chosen)
    drawn = rng.permutation(rest)[: count - len(chosen)]
    return candidates[np.r_[np.array(chosen, dtype=np.int64), drawn]]


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
