"""Fused operators of the layers of image networks; sizes are (height, width)."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

from search_spaces.operators import Activation, Operator, OperatorKind
from search_spaces.precision import Width

Size = tuple[int, int]


def halved(size: Size, stride: int) -> Size:
    """Height and width after a stride with padding."""
    return -(-size[0] // stride), -(-size[1] // stride)


def _operator(
    kind: OperatorKind,
    channels: tuple[int, int],
    size: Size,
    out_size: Size,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    bits: int = 32,
    activation: Activation = "none",
    residual: bool = False,
) -> Operator:
    return Operator(
        kind=kind,
        in_channels=channels[0],
        out_channels=channels[1],
        in_height=size[0],
        in_width=size[1],
        out_height=out_size[0],
        out_width=out_size[1],
        kernel=kernel,
        stride=stride,
        groups=groups,
        bits=int(bits),
        activation=activation,
        residual=residual,
        weight_bits=bits.weight_bits if isinstance(bits, Width) else bits,
    )


@dataclass(frozen=True, slots=True)
class FusedConvolutionShape:
    """A convolution with a square kernel, padded by half of it."""

    in_channels: int
    out_channels: int
    _: KW_ONLY
    kernel: int = 1
    stride: int = 1
    groups: int = 1

    @property
    def depthwise(self) -> bool:
        """Whether every channel is a group of its own."""
        return self.groups == self.in_channels == self.out_channels and self.groups > 1


def convolution(
    shape: FusedConvolutionShape,
    size: Size,
    *,
    activation: Activation = "relu",
    residual: bool = False,
    bits: int = 32,
) -> Operator:
    """A convolution with the batch norm, activation and addition that are fused into it.

    Args:
        shape: channels, kernel, stride and groups.
        size: the input's height and width.
        activation: applied to the output.
        residual: whether a second tensor of the output's shape is added.
        bits: width of weights and activations, 32 or 8; a :class:`search_spaces.precision.Width` for both.
    """
    return _operator(
        "depthwise" if shape.depthwise else "convolution",
        (shape.in_channels, shape.out_channels),
        size,
        halved(size, shape.stride),
        kernel=shape.kernel,
        stride=shape.stride,
        groups=shape.groups,
        activation=activation,
        residual=residual,
        bits=bits,
    )


def linear(
    in_channels: int,
    out_channels: int,
    activation: Activation = "none",
    *,
    tokens: int = 1,
    residual: bool = False,
    bits: int = 32,
) -> Operator:
    """A fully connected layer applied to one feature vector, or to each of several tokens."""
    size = (1, tokens)
    channels = (in_channels, out_channels)
    return _operator("linear", channels, size, size, activation=activation, residual=residual, bits=bits)


def matmul(batch: int, m: int, n: int, k: int) -> Operator:
    """``batch`` products of activations of shapes ``(m, k)`` and ``(k, n)``, in float."""
    return _operator("matmul", (batch * k, batch * n), (1, m), (1, m), groups=batch)


def softmax(rows: int, length: int) -> Operator:
    """Softmax of each of ``rows`` rows, in float."""
    return _operator("softmax", (length, length), (1, rows), (1, rows))


def layer_norm(channels: int, tokens: int) -> Operator:
    """Layer norm of each token, in float."""
    return _operator("layer_norm", (channels, channels), (1, tokens), (1, tokens))


def transpose(channels: int, size: Size) -> Operator:
    """A float tensor in another order: an image as tokens, or tokens by attention head."""
    return _operator("transpose", (channels, channels), size, size)


def pool(channels: int, size: Size, *, kernel: int, stride: int, bits: int = 32) -> Operator:
    """Average or maximum pooling."""
    return _operator("pool", (channels, channels), size, halved(size, stride), kernel=kernel, stride=stride, bits=bits)


def global_pool(channels: int, size: Size, *, activation: Activation = "none", bits: int = 32) -> Operator:
    """Global average pooling."""
    return _operator("pool", (channels, channels), size, (1, 1), activation=activation, bits=bits)


def elementwise(channels: int, size: Size, *, residual: bool = False, bits: int = 32) -> Operator:
    """A kernel that reads and writes one tensor, such as a scaling or a shuffle; with ``residual`` an addition."""
    return _operator("elementwise", (channels, channels), size, size, residual=residual, bits=bits)


def resize(channels: int, size: Size, out_size: Size) -> Operator:
    """Image resizing."""
    return _operator("resize", (channels, channels), size, out_size)


def conversion(before: int, bits: int, channels: int, size: Size) -> Iterator[Operator]:
    """The quantize or dequantize operator between two precisions (in bits); empty if they are equal."""
    if before != bits:
        yield _operator("quantize" if bits < before else "dequantize", (channels, channels), size, size, bits=8)
