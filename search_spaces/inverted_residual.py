"""The inverted residual block that FBNet and MnasNet are made of, as fused operators."""

from collections.abc import Iterator

from search_spaces.operators import Activation, Operator, OperatorKind

Size = tuple[int, int]


def halved(size: Size, stride: int) -> Size:
    """Height and width after a stride with padding."""
    return -(-size[0] // stride), -(-size[1] // stride)


def convolution(
    in_channels: int,
    out_channels: int,
    size: Size,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: Activation = "relu",
    residual: bool = False,
) -> Operator:
    """A convolution with its batch norm and activation; depthwise where groups are channels."""
    kind: OperatorKind = "depthwise" if groups == in_channels == out_channels and groups > 1 else "convolution"
    out_height, out_width = halved(size, stride)
    return Operator(
        kind=kind,
        in_channels=in_channels,
        out_channels=out_channels,
        in_height=size[0],
        in_width=size[1],
        out_height=out_height,
        out_width=out_width,
        kernel=kernel,
        stride=stride,
        groups=groups,
        activation=activation,
        residual=residual,
    )


def linear(in_channels: int, out_channels: int, activation: Activation = "none") -> Operator:
    """A matrix product of one image's vector."""
    return Operator(
        kind="linear",
        in_channels=in_channels,
        out_channels=out_channels,
        in_height=1,
        in_width=1,
        out_height=1,
        out_width=1,
        activation=activation,
    )


def global_pool(channels: int, size: Size) -> Operator:
    """The mean of each channel."""
    return Operator(
        kind="pool",
        in_channels=channels,
        out_channels=channels,
        in_height=size[0],
        in_width=size[1],
        out_height=1,
        out_width=1,
    )


def elementwise(channels: int, size: Size) -> Operator:
    """A kernel that reads and writes one tensor: a scaling, a shuffle."""
    return Operator(
        kind="elementwise",
        in_channels=channels,
        out_channels=channels,
        in_height=size[0],
        in_width=size[1],
        out_height=size[0],
        out_width=size[1],
    )


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
