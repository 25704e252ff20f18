"""Latencies and accuracies by a known law, so that tests know the truth."""

import numpy as np

from search_spaces.facts import FACTS, CostFacts


def device_latency_ms(space, genotypes, rng, *, noise=0.01, integer_speedup=2.0):
    """A device with a launch cost a kernel, a speed a kind of operator and a memory bandwidth."""
    facts = dict(zip(FACTS, CostFacts(space).of(genotypes).T, strict=True))
    float_time = facts["macs:pointwise_fp32"] + 4 * facts["macs:depthwise_fp32"] + facts["macs:spatial_fp32"]
    integer_time = (facts["macs:pointwise_int8"] + 4 * facts["macs:depthwise_int8"]) / integer_speedup
    total = 0.02 * facts["kernels"] + (float_time + integer_time) / 1e7 + facts["activation_bytes"] / 3e7
    return total * np.exp(noise * rng.standard_normal(len(genotypes)))


def task_accuracy(space, genotypes, rng, *, noise=0.002):
    """Larger networks are better; every quantized unit costs a little."""
    plain = genotypes.copy()
    plain[:, space.policy_columns] = 0
    facts = dict(zip(FACTS, CostFacts(space).of(plain).T, strict=True))
    size = np.log(facts["macs"])
    quantized = genotypes[:, space.policy_columns].mean(axis=1)
    return 0.8 + 0.03 * (size - 14.5) - 0.01 * quantized + noise * rng.standard_normal(len(genotypes))
