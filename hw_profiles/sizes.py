"""Bytes of weights in an artifact, from the operator list and how a device's runtime stores them."""

import numpy as np

from hw_profiles.profile import DeviceProfile
from search_spaces.facts import CostFacts, FloatArray, weight_counts
from search_spaces.space import IntArray, SearchSpace


def predicted_weight_bytes(space: SearchSpace, genotypes: IntArray, profile: DeviceProfile) -> FloatArray:
    """Bytes that the weights and biases of networks take in the profile's artifacts, shape ``(n,)``.

    The cost fact ``weight_bytes`` counts a unit's weights in its precision's bits, whatever the
    runtime stores. A runtime that computes in float after loading may store float32 weights
    instead, and its artifacts do not shrink with precision. An artifact holds code and graph
    beside its weights, so that this is a lower bound on its size.

    Args:
        space: of the genotypes.
        genotypes: canonical, shape ``(n, genes)``.
        profile: the device; its ``weight_bits`` tell how each precision is stored.
    """
    total = 4.0 * CostFacts(space).column("parameters", genotypes)
    # Biases are 32 bits in every precision.
    for precision, count in weight_counts(space, genotypes).items():
        total -= (4.0 - profile.weight_bits.get(precision, 32) / 8.0) * count
    return np.asarray(total, dtype=np.float64)
