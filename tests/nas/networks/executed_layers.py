"""What a torch network really computes, in the words of a space's operator list."""

import torch
from torch import nn

from nas.networks.network import UnitNetwork
from search_spaces.operators import Operator

Row = tuple[object, ...]


@torch.no_grad()
def executed(network: UnitNetwork) -> list[Row]:
    """Kind, channels, sizes, kernel, stride, groups, MACs, parameters of each weighted layer that runs."""
    rows: list[Row] = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        parameters = sum(p.numel() for p in module.parameters())
        x = inputs[0]
        if isinstance(module, nn.Conv2d):
            groups = module.groups
            kind = "depthwise" if groups == x.shape[1] == output.shape[1] and groups > 1 else "convolution"
            (kernel, _), (stride, _) = module.kernel_size, module.stride
            sides = (*x.shape[2:], *output.shape[2:])
            macs = output[0].numel() * kernel**2 * x.shape[1] // groups
        else:
            kind, kernel, stride, groups, sides = "linear", 1, 1, 1, (1, 1, 1, 1)
            macs = x.shape[1] * output.shape[1]
        rows.append((kind, x.shape[1], output.shape[1], *sides, kernel, stride, groups, macs, parameters))

    handles = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    network(torch.zeros(1, *network.space.task.shape))
    for handle in handles:
        handle.remove()
    return rows


def stated(operators: tuple[Operator, ...]) -> list[Row]:
    """The same of the operators that have weights."""
    return [
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
