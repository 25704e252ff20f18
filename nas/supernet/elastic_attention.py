"""Self-attention with an elastic number of heads (AutoFormer, Chen et al., ICCV 2021)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.networks.attention import TOKEN_SCALE, attend
from nas.networks.layers import initialize_linear
from nas.supernet.elastic_linear import ElasticLinear


class ElasticHeads(nn.Module):
    """The linear layer to queries, keys and values; fewer heads are the first of each of the three."""

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(3 * width, in_features))
        self.bias = nn.Parameter(torch.empty(3 * width))
        initialize_linear(self.weight, self.bias, scale=TOKEN_SCALE)

    def active(self, in_features: int, width: int) -> tuple[Tensor, Tensor]:
        """Weight ``(3 * width, in_features)`` and bias ``(3 * width,)`` of heads with this many channels."""
        weight = self.weight.view(3, -1, self.weight.shape[1])[:, :width, :in_features]
        return weight.reshape(3 * width, in_features), self.bias.view(3, -1)[:, :width].reshape(3 * width)

    def forward(self, x: Tensor, width: int) -> Tensor:
        """From tokens ``(n, c)`` to ``(n, 3 * width)``."""
        return functional.linear(x, *self.active(x.shape[1], width))


class ElasticAttention(nn.Module):
    """Attention at its largest width and number of heads, whose size is fixed; ``scale`` is that of its end."""

    def __init__(self, channels: int, width: int, *, scale: float) -> None:
        super().__init__()
        self.heads = ElasticHeads(channels, width)
        self.project = ElasticLinear(width, channels, scale=scale)

    def forward(self, x: Tensor, *, tokens: int, heads: int, head_dim: int) -> Tensor:
        """Mixes the tokens of each image; keeps the shape ``(n * tokens, c)``."""
        mixed = attend(self.heads(x, heads * head_dim), tokens=tokens, heads=heads)
        projected: Tensor = self.project(mixed, x.shape[1])
        return projected
