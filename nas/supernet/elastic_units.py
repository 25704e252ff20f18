"""An elastic convolution with its batch norm and activation, for the blocks of families."""

from torch import Tensor, nn

from nas.networks.activation import activate
from nas.supernet.elastic_batch_norm import ElasticBatchNorm
from nas.supernet.elastic_convolution import ElasticConvolution
from nas.supernet.elastic_depthwise import ElasticDepthwise
from search_spaces.operators import Activation


class ElasticConvUnit(nn.Module):
    """Dense convolution, batch norm, activation."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int = 1, stride: int = 1, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.conv = ElasticConvolution(in_channels, out_channels, kernel=kernel, stride=stride)
        self.norm = ElasticBatchNorm(out_channels, gain=gain)

    def forward(self, x: Tensor, out_channels: int, activation: Activation) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, out_channels, h', w')``."""
        return activate(self.norm(self.conv(x, out_channels)), activation)


class ElasticDepthwiseUnit(nn.Module):
    """Depthwise convolution, batch norm, activation."""

    def __init__(self, channels: int, kernels: tuple[int, ...], stride: int) -> None:
        super().__init__()
        self.conv = ElasticDepthwise(channels, kernels, stride=stride)
        self.norm = ElasticBatchNorm(channels)

    def forward(self, x: Tensor, kernel: int, activation: Activation) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, c, h', w')``."""
        return activate(self.norm(self.conv(x, kernel)), activation)
