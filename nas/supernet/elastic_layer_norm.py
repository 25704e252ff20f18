"""Layer norm over the first channels: scale and shift are sliced."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.networks.layers import EPSILON


class ElasticLayerNorm(nn.Module):
    """Layer norm at its largest width; each token's own statistics, which no sub-network shares."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes tokens ``(..., c)``."""
        channels = x.shape[-1]
        return functional.layer_norm(x, (channels,), self.weight[:channels], self.bias[:channels], EPSILON)
