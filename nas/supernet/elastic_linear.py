"""Linear layer whose active weight is its first outputs and inputs."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.networks.layers import initialize_linear


class ElasticLinear(nn.Module):
    """A linear layer with bias at its largest size; ``scale`` is that of its start."""

    def __init__(self, in_features: int, out_features: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.bias = nn.Parameter(torch.empty(out_features))
        initialize_linear(self.weight, self.bias, scale=scale)

    def forward(self, x: Tensor, out_features: int) -> Tensor:
        """From ``(n, in)`` to ``(n, out_features)``."""
        return functional.linear(x, self.weight[:out_features, : x.shape[1]], self.bias[:out_features])
