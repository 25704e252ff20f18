"""Batch norm over the first channels: weight, bias and running statistics are sliced."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.networks.layers import EPSILON
from nas.supernet.batch_shard import batch_norm


class ElasticBatchNorm(nn.Module):
    """Batch norm at its largest width.

    Training uses each batch's own statistics and leaves the running ones alone: shared by
    all sub-networks they would be of use to none. An extracted network gets its own from
    :func:`nas.evaluation.recalibrate_batch_norm`.
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
        weight, bias = self.weight[:channels], self.bias[:channels]
        if self.training:
            return batch_norm(x, weight, bias, EPSILON)
        mean, variance = self.running_mean[:channels], self.running_var[:channels]
        return functional.batch_norm(x, mean, variance, weight, bias, eps=EPSILON)
