"""Dense convolution whose active weight is its first output and input channels."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class ElasticConvolution(nn.Module):
    """A bias-free convolution at its largest size; 1x1 by default."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def active_weight(self, in_channels: int, out_channels: int) -> Tensor:
        """Shape ``(out_channels, in_channels, k, k)``."""
        return self.weight[:out_channels, :in_channels]

    def forward(self, x: Tensor, out_channels: int) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, out_channels, ceil(h / stride), ceil(w / stride))``."""
        weight = self.active_weight(x.shape[1], out_channels)
        return functional.conv2d(x, weight, None, self.stride, weight.shape[-1] // 2)
