"""Layers used by the networks of several spaces; sizes match the spaces' operator lists."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nas.networks.activation import activation_module
from nas.networks.depthwise_gradient import depthwise_conv2d
from search_spaces.inverted_residual import InvertedResidualShape
from search_spaces.operators import Activation

EPSILON: Final = 1e-5
MOMENTUM: Final = 0.1
"""Of every batch norm."""


def global_mean(x: Tensor) -> Tensor:
    """Channel means of ``(n, c, h, w)``, shape ``(n, c)``.

    As a mean, since PyTorch exports its adaptive pooling with a gather behind it, which
    every device would run.
    """
    return x.mean((2, 3))


def scale_images(images: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Bilinear, without antialiasing, half-pixel centres; the same tensor where nothing changes."""
    if tuple(images.shape[2:]) == resolution:
        return images
    return functional.interpolate(images, resolution, mode="bilinear", align_corners=False)


@torch.no_grad()
def initialize_linear(weight: Tensor, bias: Tensor, *, scale: float = 1.0) -> None:
    """Kaiming's uniform weights, times ``scale``, and no bias; from torch's global generator."""
    nn.init.kaiming_uniform_(weight, nonlinearity="relu")
    if scale != 1.0:
        weight.mul_(scale)
    nn.init.zeros_(bias)


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution that trains faster on CPUs: see :mod:`nas.networks.depthwise_gradient`."""

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, c, ceil(h / stride), ceil(w / stride))``."""
        if self.bias is not None:  # batch norm is folded: nothing trains any more
            return super().forward(x)
        return depthwise_conv2d(x, self.weight, self.stride[0])


class ConvUnit(nn.Module):
    """Convolution, batch norm (until folded), activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        activation: Activation,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        convolution = DepthwiseConv2d if groups == in_channels == out_channels else nn.Conv2d
        self.conv = convolution(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels, eps=EPSILON, momentum=MOMENTUM)
        self.act = activation_module(activation)

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, c', h', w')``."""
        return self.act(self.norm(self.conv(x)))  # type: ignore[no-any-return]

    def fold(self) -> None:
        """Moves batch norm into the convolution's weight and a bias."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class SqueezeExcite(nn.Module):
    """Scales channels by a gate from their means."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, squeezed)
        self.act = nn.ReLU()
        self.restore = nn.Linear(squeezed, channels)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Scales ``(n, c, h, w)``."""
        hidden = self.act(self.reduce(global_mean(x)))
        return x * self.gate(self.restore(hidden))[:, :, None, None]  # type: ignore[no-any-return]


class ChannelShuffle(nn.Module):
    """Deals out each group's channels to all groups of the next convolution (Zhang et al., CVPR 2018)."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """Reorders ``(n, c, h, w)``."""
        images, channels, height, width = x.shape
        grouped = x.reshape(images, self.groups, channels // self.groups, height, width)
        return grouped.transpose(1, 2).reshape(x.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class BottleneckShape:
    """The sizes of an inverted residual block."""

    in_channels: int
    hidden: int
    """Channels of the depthwise convolution."""
    out_channels: int
    kernel: int
    stride: int
    skip: bool
    """Whether the input is added to the output."""
    expands: bool = True
    """Whether there is a first pointwise convolution."""
    groups: int = 1
    """Groups of the two pointwise convolutions; with more than one, a channel shuffle follows the first."""
    squeezed: int = 0
    """Hidden channels of squeeze-excite; 0 if there is none."""


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, squeeze-excite and projection; expansion and squeeze-excite are optional."""

    def __init__(self, shape: BottleneckShape, *, activation: Activation = "relu") -> None:
        super().__init__()
        hidden, groups = shape.hidden, shape.groups
        self.skip = shape.skip
        self.expand = (
            ConvUnit(shape.in_channels, hidden, activation=activation, groups=groups) if shape.expands else None
        )
        self.shuffle = ChannelShuffle(groups) if groups > 1 else None
        self.depthwise = ConvUnit(
            hidden, hidden, activation=activation, kernel=shape.kernel, stride=shape.stride, groups=hidden
        )
        self.squeeze_excite = SqueezeExcite(hidden, shape.squeezed) if shape.squeezed else None
        self.project = ConvUnit(hidden, shape.out_channels, activation="none", groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, c', h', w')``."""
        y = x if self.expand is None else self.expand(x)
        if self.shuffle is not None:
            y = self.shuffle(y)
        y = self.depthwise(y)
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        y = self.project(y)
        return x + y if self.skip else y  # type: ignore[no-any-return]


def inverted_residual(shape: InvertedResidualShape) -> InvertedResidual:
    """The block of a shape in FBNet or MnasNet."""
    return InvertedResidual(
        BottleneckShape(
            in_channels=shape.in_channels,
            hidden=shape.hidden,
            out_channels=shape.out_channels,
            kernel=shape.kernel,
            stride=shape.stride,
            skip=shape.skip,
            expands=shape.expands,
            groups=shape.groups,
            squeezed=shape.squeezed,
        )
    )


class ExpandedHead(nn.Module):
    """Last expansion, pooling, classifier: how FBNet and MnasNet end."""

    def __init__(self, in_channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.expand = ConvUnit(in_channels, width, activation="relu")
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to logits ``(n, classes)``."""
        return self.classifier(global_mean(self.expand(x)))  # type: ignore[no-any-return]
