"""Batch norm over the first channels: weight, bias and running statistics are sliced."""

import torch
from torch import Tensor, nn
from torch.nn import functional

MOMENTUM = 0.1
EPSILON = 1e-5


class ElasticBatchNorm(nn.Module):
    """Batch norm at its largest width.

    The running statistics mix those of all sub-networks that were trained: a
    sub-network is of use after :func:`nas.evaluation.recalibrate_batch_norm` only.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), gain))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes ``(n, c, h, w)``."""
        channels = x.shape[1]
        return functional.batch_norm(
            x,
            self.running_mean[:channels],
            self.running_var[:channels],
            self.weight[:channels],
            self.bias[:channels],
            self.training,
            MOMENTUM,
            EPSILON,
        )
