"""Fused operators: what a compiled network launches, one record per kernel.

A candidate's operators follow from its genes alone, without building a network, and
are checked against the real graph in tests. An operator's facts are compiler
independent: the arithmetic and the bytes read and written, whatever the compiler.
"""

from dataclasses import dataclass
from typing import Literal

OperatorKind = Literal[
    "convolution",
    "depthwise",
    "linear",
    "matmul",
    "softmax",
    "layer_norm",
    "transpose",
    "pool",
    "resize",
    "elementwise",
    "quantize",
    "dequantize",
]
Activation = Literal["none", "relu", "hard_swish", "hard_sigmoid", "gelu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One kernel, with batch norm, bias, activation and residual fused into it.

    Spatial sizes are those of one image; ``bits`` is the width of activations (32 float,
    8 integer) and, unless ``weight_bits`` says otherwise, of weights. With ``residual``, a second tensor of
    the output's shape is read and added.

    A sequence of tokens is an image of height 1. A ``matmul`` of two activations is, for each of
    ``groups`` matrices, a linear layer whose weights are computed: ``(m, k)`` by ``(k, n)`` has
    ``groups * k`` channels in, ``groups * n`` out, and a width of ``m``. A ``softmax`` is over rows
    of ``in_channels`` elements, a ``layer_norm`` over the channels of each token.
    """

    kind: OperatorKind
    in_channels: int
    out_channels: int
    in_height: int
    in_width: int
    out_height: int
    out_width: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    bits: int = 32
    weight_bits: int = 0
    """0 becomes ``bits``."""
    activation: Activation = "none"
    residual: bool = False

    def __post_init__(self) -> None:
        if not self.weight_bits:
            object.__setattr__(self, "weight_bits", int(self.bits))

    @property
    def has_weights(self) -> bool:
        """Whether the kernel has trained weights."""
        return self.kind in ("convolution", "depthwise", "linear")

    @property
    def has_products(self) -> bool:
        """Whether the kernel sums products, of weights or of another tensor."""
        return self.has_weights or self.kind == "matmul"

    @property
    def weight_count(self) -> int:
        """Number of weights that products are taken with, bias excluded."""
        return self._factor_count if self.has_weights else 0

    @property
    def vector_count(self) -> int:
        """Number of vectors with a number per channel: a bias, or the scale and shift of a layer norm."""
        if self.kind == "layer_norm":
            return 2
        return int(self.has_weights)

    @property
    def parameters(self) -> int:
        """Number of trained weights, including the folded bias."""
        return self.weight_count + self.vector_count * self.out_channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image; zero for kernels without products."""
        return self._factor_count * self.out_height * self.out_width if self.has_products else 0

    @property
    def _factor_count(self) -> int:
        """Elements of what the input is multiplied by."""
        return self.kernel**2 * (self.in_channels // self.groups) * self.out_channels

    @property
    def input_elements(self) -> int:
        """Elements of the main input."""
        return self.in_channels * self.in_height * self.in_width

    @property
    def output_elements(self) -> int:
        """Elements of the output."""
        return self.out_channels * self.out_height * self.out_width

    @property
    def weight_bytes(self) -> int:
        """Stored weights (``weight_bits`` each) with the 32-bit vectors of :attr:`vector_count`."""
        return -(-self.weight_count * self.weight_bits // 8) + 4 * self.vector_count * self.out_channels

    @property
    def activation_bytes(self) -> int:
        """Bytes of activations read and written by one launch."""
        in_bytes = 4 if self.kind == "quantize" else self.bits // 8
        out_bytes = 4 if self.kind == "dequantize" else self.bits // 8
        read = self.input_elements + (self.output_elements if self.residual else 0)
        if self.kind == "matmul":
            read += self._factor_count
        return read * in_bytes + self.output_elements * out_bytes
