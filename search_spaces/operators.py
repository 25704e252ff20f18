"""Fused operators: what a compiled network launches, one record per kernel.

A candidate's operators follow from its genes alone, without building a network, and
are checked against the real graph in tests. An operator's facts are compiler
independent: the arithmetic and the bytes read and written, whatever the compiler.
"""

from dataclasses import dataclass
from typing import Literal

OperatorKind = Literal["convolution", "depthwise", "linear", "pool", "resize", "elementwise", "quantize", "dequantize"]
Activation = Literal["none", "relu", "hard_swish", "hard_sigmoid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One kernel, with batch norm, bias, activation and residual fused into it.

    Spatial sizes are those of one image; ``bits`` is the width of activations (32 float,
    8 integer) and, unless ``weight_bits`` says otherwise, of weights. With ``residual``, a second tensor of
    the output's shape is read and added.
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
    def weight_count(self) -> int:
        """Number of trained weights, bias excluded."""
        if not self.has_weights:
            return 0
        return self.kernel**2 * (self.in_channels // self.groups) * self.out_channels

    @property
    def parameters(self) -> int:
        """Number of weights, including the folded bias."""
        return self.weight_count + (self.out_channels if self.has_weights else 0)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image; zero for kernels without weights."""
        return self.weight_count * self.out_height * self.out_width

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
        """Stored weights (``weight_bits`` each) with one 32-bit bias per output channel."""
        return -(-self.weight_count * self.weight_bits // 8) + (4 * self.out_channels if self.has_weights else 0)

    @property
    def activation_bytes(self) -> int:
        """Bytes of activations read and written by one launch."""
        in_bytes = 4 if self.kind == "quantize" else self.bits // 8
        out_bytes = 4 if self.kind == "dequantize" else self.bits // 8
        read = self.input_elements + (self.output_elements if self.residual else 0)
        return read * in_bytes + self.output_elements * out_bytes
