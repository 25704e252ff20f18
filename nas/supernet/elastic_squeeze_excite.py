"""Squeeze-excite whose hidden width follows the width that it scales."""

from torch import Tensor, nn
from torch.nn import functional

from nas.supernet.elastic_linear import ElasticLinear
from search_spaces.mobilenet_v3_config import squeeze_width


class ElasticSqueezeExcite(nn.Module):
    """Scales channels by a gate from their means (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = ElasticLinear(channels, squeeze_width(channels))
        self.restore = ElasticLinear(squeeze_width(channels), channels)

    def forward(self, x: Tensor) -> Tensor:
        """Scales ``(n, c, h, w)``."""
        channels = x.shape[1]
        hidden = functional.relu(self.reduce(x.mean((2, 3)), squeeze_width(channels)))
        gate = functional.hardsigmoid(self.restore(hidden, channels))
        return x * gate[:, :, None, None]
