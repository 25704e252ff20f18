"""The inverted residual block that FBNet and MnasNet are made of, as fused operators."""

from collections.abc import Iterator

from search_spaces.fused_layers import Size, convolution, elementwise, global_pool, halved, linear
from search_spaces.operators import Operator


def inverted_residual(
    in_channels: int,
    out_channels: int,
    size: Size,
    *,
    expand: int,
    kernel: int,
    stride: int,
    groups: int = 1,
    squeeze: int = 0,
    always_expands: bool = False,
) -> Iterator[Operator]:
    """Expansion, depthwise convolution, squeeze-excite over ``squeeze`` channels (0: none), projection.

    ``groups`` are those of the two pointwise convolutions; with more than one a channel
    shuffle follows the first. ``always_expands`` keeps the first at an expansion of 1.
    """
    hidden = in_channels * expand
    if expand > 1 or always_expands:
        yield convolution(in_channels, hidden, size, groups=groups)
        if groups > 1:
            yield elementwise(hidden, size)
    yield convolution(hidden, hidden, size, kernel=kernel, stride=stride, groups=hidden)
    out_size = halved(size, stride)
    if squeeze:
        yield global_pool(hidden, out_size)
        yield linear(hidden, squeeze, "relu")
        yield linear(squeeze, hidden, "hard_sigmoid")
        yield elementwise(hidden, out_size)
    yield convolution(
        hidden,
        out_channels,
        out_size,
        groups=groups,
        activation="none",
        residual=stride == 1 and in_channels == out_channels,
    )
