"""Bytes of weights in an artifact, from the operator list and how a device's runtime stores them."""

import numpy as np

from hw_profiles.profile import DeviceProfile
from search_spaces.facts import CostFacts, FloatArray
from search_spaces.space import IntArray, SearchSpace


def predicted_weight_bytes(space: SearchSpace, genotypes: IntArray, profile: DeviceProfile) -> FloatArray:
    """Bytes that the weights and biases of networks take in the profile's artifacts, shape ``(n,)``.

    The cost fact ``weight_bytes`` counts an int8 unit's weights as 8 bits, whatever the
    runtime stores. A runtime that computes in float after loading may store float32 weights
    instead, and its artifacts do not shrink with precision. An artifact holds code and graph
    beside its weights, so that this is a lower bound on its size.

    Args:
        space: of the genotypes.
        genotypes: canonical, shape ``(n, genes)``.
        profile: the device; its ``weight_bits`` tell how each precision is stored.
    """
    facts = CostFacts(space)
    as_float32 = 4.0 * facts.column("parameters", genotypes)
    # Each int8 weight saves three bytes in the fact; biases are 32 bits in both precisions.
    int8_weights = (as_float32 - facts.column("weight_bytes", genotypes)) / 3.0
    saved = 4.0 - profile.weight_bits.get("int8", 32) / 8.0
    return np.asarray(as_float32 - saved * int8_weights, dtype=np.float64)
