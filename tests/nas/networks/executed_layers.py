"""What a torch network really computes, in the words of a space's operator list."""

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from nas.networks.network import UnitNetwork
from search_spaces.operators import Operator

Row = tuple[object, ...]


class _Products(TorchDispatchMode):
    """Notes the products of batches of matrices, which no module stands for."""

    def __init__(self, rows: list[Row]) -> None:
        super().__init__()
        self._rows = rows

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        del types
        if func is torch.ops.aten.bmm.default:
            batch, m, k = args[0].shape
            n = args[1].shape[2]
            sides = (1, m, 1, m)
            self._rows.append(("matmul", batch * k, batch * n, *sides, 1, 1, batch, batch * m * n * k, 0))
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def executed(network: UnitNetwork) -> list[Row]:
    """Kind, channels, sizes, kernel, stride, groups, MACs, parameters of each kernel that sums products."""
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
            kind, kernel, stride, groups, sides = "linear", 1, 1, 1, (1, len(x), 1, len(x))
            macs = x.shape[1] * output.numel()
        rows.append((kind, x.shape[1], output.shape[1], *sides, kernel, stride, groups, macs, parameters))

    handles = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with _Products(rows):
        network(torch.zeros(1, *network.space.task.input.shape))
    for handle in handles:
        handle.remove()
    return rows


def stated(operators: tuple[Operator, ...]) -> list[Row]:
    """The same of the operators."""
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
        if op.has_products
    ]
