"""Integer operators of a quantized network, as the graph is read and as kernels are chosen for them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hw_profiles.runtimes.tvm_integer.schemes import Activation, Clip, Quantization
from hw_profiles.runtimes.tvm_integer.shapes import ActivationShape, Windows


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedTensor:
    """A uint8 tensor of one image."""

    name: str
    shape: ActivationShape
    quantization: Quantization


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvolutionOperator:
    """A convolution or linear layer, with what is fused behind it."""

    source: QuantizedTensor
    weights: NDArray[np.int8]
    """(outputs, inputs per group, height, width)."""
    weight_bits: Literal[4, 8] = 8
    """That the graph holds each weight in, and the kernel if it can."""
    weight_scales: NDArray[np.float32]
    biases: NDArray[np.int32]
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Top, left, bottom, right."""
    groups: int = 1
    clip: Clip
    result: QuantizedTensor
    """What the convolution itself is rounded to."""
    rounded: bool = True
    """Whether it is, before its activation."""
    activation: "ActivationOperator | None" = None
    residual: "AddOperator | None" = None

    @property
    def depthwise(self) -> bool:
        """Whether every channel is convolved with weights of its own alone."""
        return 1 < self.groups == self.source.shape.channels == len(self.weights)

    @property
    def largest_sums(self) -> NDArray[np.int64]:
        """The largest magnitude of a sum per output channel, whatever the input, shape ``(outputs,)``."""
        weights = np.abs(self.weights.astype(np.int64)).sum(axis=(1, 2, 3))
        sums: NDArray[np.int64] = weights * 255 + np.abs(self.biases.astype(np.int64))
        return sums

    @property
    def largest(self) -> float:
        """The same of all channels in steps of the result; NaN or infinite if scales do not fit each other."""
        scales = self.source.quantization.scale * self.weight_scales.astype(np.float64) / self.result.quantization.scale
        return float((self.largest_sums * scales).max())

    @property
    def output(self) -> QuantizedTensor:
        """What is written."""
        if self.residual is not None:
            return self.residual.output
        return self.activation.output if self.activation is not None else self.result

    @property
    def sources(self) -> tuple[QuantizedTensor, ...]:
        """Every tensor that is read."""
        return (self.source,) if self.residual is None else (self.source, self.other)

    @property
    def other(self) -> QuantizedTensor:
        """The residual's second tensor."""
        if self.residual is None:
            raise ValueError("there is no residual")
        before = self.activation.output if self.activation is not None else self.result
        return next(tensor for tensor in self.residual.sources if tensor != before)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationOperator:
    """Hard-swish or hard-sigmoid of every element."""

    source: QuantizedTensor
    function: Activation
    clip: Clip
    output: QuantizedTensor

    @property
    def sources(self) -> tuple[QuantizedTensor, ...]:
        """Every tensor that is read."""
        return (self.source,)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanOperator:
    """Means over height and width, of activated values where there is a function."""

    source: QuantizedTensor
    function: Activation | None
    clip: Clip
    output: QuantizedTensor

    @property
    def sources(self) -> tuple[QuantizedTensor, ...]:
        """Every tensor that is read."""
        return (self.source,)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOperator:
    """Maxima or means over windows."""

    source: QuantizedTensor
    kind: Literal["maximum", "average"]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pads: tuple[int, int, int, int]
    """Top, left, bottom, right; of averages, none."""
    clip: Clip
    output: QuantizedTensor

    @property
    def sources(self) -> tuple[QuantizedTensor, ...]:
        """Every tensor that is read."""
        return (self.source,)

    @property
    def windows(self) -> Windows:
        """Over the padded image."""
        shape, (top, left, bottom, right) = self.source.shape, self.pads
        image = ActivationShape(
            height=shape.height + top + bottom, width=shape.width + left + right, channels=shape.channels
        )
        return Windows(image=image, kernel=self.kernel, stride=self.stride)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOperator:
    """The sum of two tensors of one shape."""

    sources: tuple[QuantizedTensor, QuantizedTensor]
    clip: Clip
    output: QuantizedTensor


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOperator:
    """Channels times their factors: the end of squeeze-excite."""

    source: QuantizedTensor
    gate: QuantizedTensor
    clip: Clip
    output: QuantizedTensor

    @property
    def sources(self) -> tuple[QuantizedTensor, ...]:
        """Every tensor that is read."""
        return (self.source, self.gate)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeOperator:
    """From a float tensor of the graph."""

    float_name: str
    output: QuantizedTensor


@dataclass(frozen=True, slots=True, kw_only=True)
class DequantizeOperator:
    """To a float tensor of the graph."""

    source: QuantizedTensor
    float_name: str


IntegerOperator = ConvolutionOperator | ActivationOperator | MeanOperator | PoolOperator | AddOperator | GateOperator
