"""The operators that a space states are those that the real network runs."""

import numpy as np
import pytest

from nas.networks.building import build_network
from nas.networks.network import parameter_count
from tests.nas.networks.executed_layers import executed, stated
from tests.nas.supernet.spaces import IMAGENET_SPACES, TINY_SPACES


@pytest.mark.parametrize("space", TINY_SPACES + IMAGENET_SPACES, ids=lambda s: f"{s.name}-{s.task.shape}")
def test_operators_equal_the_executed_layers(space):
    rng = np.random.default_rng(0)
    for genotype in (space.smallest(), space.largest(), *space.sample(4 if space in TINY_SPACES else 1, rng)):
        network = build_network(space, genotype).deploy()
        operators = space.operators(genotype)
        assert executed(network) == stated(operators)
        assert parameter_count(network) == sum(op.parameters for op in operators)
