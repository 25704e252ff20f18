"""Fused operators that several layers of image networks are made of."""

from collections.abc import Iterator

from search_spaces.operators import Activation, Operator


def conversion(before: int, bits: int, channels: int, size: tuple[int, int]) -> Iterator[Operator]:
    """The quantize or dequantize between two precisions (in bits); nothing where they are equal."""
    if before != bits:
        yield Operator(
            kind="quantize" if bits < before else "dequantize",
            in_channels=channels,
            out_channels=channels,
            in_height=size[0],
            in_width=size[1],
            out_height=size[0],
            out_width=size[1],
            bits=8,
        )


def pointwise(
    in_channels: int, out_channels: int, size: tuple[int, int], bits: int, act: Activation, residual: bool = False
) -> Operator:
    """A 1x1 convolution on ``size`` (height, width)."""
    return Operator(
        kind="convolution",
        in_channels=in_channels,
        out_channels=out_channels,
        in_height=size[0],
        in_width=size[1],
        out_height=size[0],
        out_width=size[1],
        bits=bits,
        activation=act,
        residual=residual,
    )


def linear(in_channels: int, out_channels: int, bits: int, act: Activation) -> Operator:
    """A fully connected layer on one position."""
    return Operator(
        kind="linear",
        in_channels=in_channels,
        out_channels=out_channels,
        in_height=1,
        in_width=1,
        out_height=1,
        out_width=1,
        bits=bits,
        activation=act,
    )


def global_pool(channels: int, size: tuple[int, int], bits: int) -> Operator:
    """The mean over ``size`` (height, width), a value a channel."""
    return Operator(
        kind="pool",
        in_channels=channels,
        out_channels=channels,
        in_height=size[0],
        in_width=size[1],
        out_height=1,
        out_width=1,
        bits=bits,
    )
