"""Depthwise convolution with elastic kernel size (Once-for-All, section 3.3)."""

import torch
from torch import Tensor, nn

from nas.networks.depthwise_gradient import depthwise_conv2d


class ElasticDepthwise(nn.Module):
    """Stores the largest kernel; a smaller one is the centre of the next larger, transformed.

    The centred crop, flattened, passes through a learned ``k^2 x k^2`` matrix, the
    identity at the start and shared across channels.
    """

    def __init__(self, channels: int, kernels: tuple[int, ...], *, stride: int = 1) -> None:
        super().__init__()
        self.kernels = tuple(sorted(kernels, reverse=True))
        self.stride = stride
        largest = self.kernels[0]
        self.weight = nn.Parameter(torch.empty(channels, 1, largest, largest))
        # Each channel sees k*k inputs and feeds one output, so fan-in is k*k.
        nn.init.kaiming_normal_(self.weight, mode="fan_in", nonlinearity="relu")
        self.transforms = nn.ParameterDict(
            {str(size): nn.Parameter(torch.eye(size * size)) for size in self.kernels[1:]}
        )

    def active_weight(self, channels: int, kernel: int) -> Tensor:
        """Shape ``(channels, 1, kernel, kernel)``."""
        weight = self.weight[:channels]
        for size in self.kernels[1:]:
            if weight.shape[-1] == kernel:
                break
            margin = (weight.shape[-1] - size) // 2
            crop = weight[:, :, margin : margin + size, margin : margin + size]
            flat = crop.reshape(channels, size * size) @ self.transforms[str(size)].t()
            weight = flat.reshape(channels, 1, size, size)
        return weight

    def forward(self, x: Tensor, kernel: int) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, c, ceil(h / stride), ceil(w / stride))``."""
        return depthwise_conv2d(x, self.active_weight(x.shape[1], kernel), self.stride)
