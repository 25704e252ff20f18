"""The inverted residual block of FBNet and MnasNet: its shape and its fused operators."""

from collections.abc import Iterator
from dataclasses import dataclass

from search_spaces.fused_layers import (
    FusedConvolutionShape,
    Size,
    convolution,
    elementwise,
    global_pool,
    halved,
    linear,
)
from search_spaces.operators import Operator


@dataclass(frozen=True, slots=True, kw_only=True)
class InvertedResidualShape:
    """Expansion, depthwise convolution, squeeze-excite, projection, with ReLU."""

    in_channels: int
    out_channels: int
    size: Size
    """Input size."""
    expand: int
    kernel: int
    stride: int
    groups: int = 1
    """Groups of the two pointwise convolutions; with more than one, a channel shuffle follows the first."""
    squeezed: int = 0
    """Hidden channels of squeeze-excite; 0 if there is none."""
    always_expands: bool = False
    """Whether the first pointwise convolution is kept at an expansion of 1."""

    @property
    def hidden(self) -> int:
        """Channels of the depthwise convolution."""
        return self.in_channels * self.expand

    @property
    def expands(self) -> bool:
        """Whether there is a first pointwise convolution."""
        return self.expand > 1 or self.always_expands

    @property
    def skip(self) -> bool:
        """Whether the input is added to the output."""
        return self.stride == 1 and self.in_channels == self.out_channels

    def operators(self) -> Iterator[Operator]:
        """The fused operators, in order."""
        hidden, out_size = self.hidden, halved(self.size, self.stride)
        if self.expands:
            yield convolution(FusedConvolutionShape(self.in_channels, hidden, groups=self.groups), self.size)
            if self.groups > 1:
                yield elementwise(hidden, self.size)
        yield convolution(
            FusedConvolutionShape(hidden, hidden, kernel=self.kernel, stride=self.stride, groups=hidden), self.size
        )
        if self.squeezed:
            yield global_pool(hidden, out_size)
            yield linear(hidden, self.squeezed, "relu")
            yield linear(self.squeezed, hidden, "hard_sigmoid")
            yield elementwise(hidden, out_size)
        yield convolution(
            FusedConvolutionShape(hidden, self.out_channels, groups=self.groups),
            out_size,
            activation="none",
            residual=self.skip,
        )
