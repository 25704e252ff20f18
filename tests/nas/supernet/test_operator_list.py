"""The operators that a space states are those that the real network runs."""

import numpy as np
import pytest
import torch
from torch import nn

from nas.supernet.static_network import StaticNetwork, parameter_count
from search_spaces.mobilenet_v3 import MobileNetV3Space
from tests.nas.supernet.spaces import IMAGENET_SPACES, TINY_SPACES

Row = tuple[object, ...]


@torch.no_grad()
def executed(network: StaticNetwork, space: MobileNetV3Space) -> list[Row]:
    """Kind, channels, sizes, kernel, stride, groups, MACs, parameters of each weighted layer that runs."""
    rows: list[Row] = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        parameters = sum(p.numel() for p in module.parameters())
        x = inputs[0]
        if isinstance(module, nn.Conv2d):
            groups = module.groups
            kind = "depthwise" if groups > 1 else "convolution"
            (kernel, _), (stride, _) = module.kernel_size, module.stride
            sides = (*x.shape[2:], *output.shape[2:])
            macs = output[0].numel() * kernel**2 * x.shape[1] // groups
        else:
            kind, kernel, stride, groups, sides = "linear", 1, 1, 1, (1, 1, 1, 1)
            macs = x.shape[1] * output.shape[1]
        rows.append((kind, x.shape[1], output.shape[1], *sides, kernel, stride, groups, macs, parameters))

    handles = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    network(torch.zeros(1, *space.task.shape))
    for handle in handles:
        handle.remove()
    return rows


@pytest.mark.parametrize("space", TINY_SPACES + IMAGENET_SPACES, ids=lambda s: f"{s.name}-{s.task.shape}")
def test_operators_equal_the_executed_layers(space):
    rng = np.random.default_rng(0)
    for genotype in (space.smallest(), space.largest(), *space.sample(4 if space in TINY_SPACES else 1, rng)):
        network = StaticNetwork.from_shape(space, genotype).deploy()
        operators = space.operators(genotype)
        expected = [
            (
                op.kind,
                op.in_channels,
                op.out_channels,
                op.in_height,
                op.in_width,
                op.out_height,
                op.out_width,
                op.kernel,
                op.stride,
                op.groups,
                op.macs,
                op.parameters,
            )
            for op in operators
            if op.has_weights
        ]
        assert executed(network, space) == expected
        assert parameter_count(network) == sum(op.parameters for op in operators)
