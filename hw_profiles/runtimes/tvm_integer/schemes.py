"""Schemes of quantized tensors, and the functions between two of them; reading a graph needs no more, and no TVM."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hw_profiles.runtimes.tvm_integer.instructions import Instructions

FloatArray = NDArray[np.float32]
FOUR_BITS_FACTOR: Final = 16
"""What kernels multiply 4-bit weights by (:mod:`hw_profiles.runtimes.tvm_integer.four_bits`)."""

_REACH: Final = 4096
"""Unclipped values, in quantization steps, for which leaving out a clip is checked; beyond, functions are linear."""


def multiply_add(factor: FloatArray, other: np.float32, summand: FloatArray | np.float32, *, fused: bool) -> FloatArray:
    """``factor * other + summand`` as :meth:`Instructions.multiply_add` computes it."""
    if not fused:
        return (factor * other + summand).astype(np.float32)
    return (factor.astype(np.float64) * np.float64(other) + np.asarray(summand, np.float64)).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """A tensor's uint8 scheme: ``real = (value - zero_point) * scale``."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """Rounding to uint8 around a zero point, clipped to ``low`` to ``high``."""

    zero_point: int
    low: int = 0
    high: int = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    """``hard_sigmoid(x) = clip(alpha * x + beta, 0, 1)``, or ``x`` times that: hard-swish; or GELU, as a table."""

    kind: Literal["hard_swish", "hard_sigmoid", "gelu"]
    alpha: float = 0.0
    beta: float = 0.0
    before: Quantization
    after: Quantization

    def table(self) -> NDArray[np.uint8]:
        """Output of each of the 256 inputs, computed operator by operator in float32."""
        one = np.float32(1)
        x = (np.arange(256) - self.before.zero_point).astype(np.float32) * np.float32(self.before.scale)
        if self.kind == "gelu":
            gate = np.array([(1 + math.erf(value / math.sqrt(2))) / 2 for value in x.tolist()], np.float32)
        else:
            gate = np.maximum(np.float32(0), np.minimum(one, np.float32(self.alpha) * x + np.float32(self.beta)))
        y = gate if self.kind == "hard_sigmoid" else x * gate
        steps: NDArray[np.float32] = np.rint(y / np.float32(self.after.scale)) + self.after.zero_point
        return np.clip(steps, 0, 255).astype(np.uint8)

    def coefficients(self) -> tuple[float, float, float]:
        """``slope, offset, ceiling`` of :meth:`Activation.steps`, in steps of the output."""
        swish = self.kind == "hard_swish"
        ceiling = (self.before.scale if swish else 1.0) / self.after.scale
        values = (self.alpha * self.before.scale * ceiling, self.beta * ceiling, ceiling)
        slope, offset, top = (float(np.float32(value)) for value in values)
        return slope, offset, top

    def steps(self, centred: FloatArray, *, fused: bool) -> FloatArray:
        """What kernels compute of inputs minus their zero point, in steps of the output, before rounding.

        Args:
            centred: whole numbers.
            fused: as :attr:`Instructions.fuses` says.
        """
        slope, offset, ceiling = (np.float32(value) for value in self.coefficients())
        gate = np.maximum(np.minimum(multiply_add(centred, slope, offset, fused=fused), ceiling), np.float32(0))
        return centred * gate if self.kind == "hard_swish" else gate

    def largest(self, centred: float) -> float:
        """The largest result of :meth:`steps` for inputs of at most this magnitude, in steps."""
        ceiling = self.coefficients()[2]
        return centred * ceiling if self.kind == "hard_swish" else ceiling

    def is_exact(self, instructions: "Instructions") -> bool:
        """Whether :meth:`steps` rounds to :meth:`table` for every input; there are none for GELU."""
        if self.kind == "gelu":
            return False
        centred = (np.arange(256) - self.before.zero_point).astype(np.float32)
        values = np.clip(np.rint(self.steps(centred, fused=instructions.fuses)) + self.after.zero_point, 0, 255)
        return bool(np.array_equal(values, self.table()))

    def clips(self, before: Clip, instructions: "Instructions") -> tuple[bool, bool]:
        """Whether clipping the input below and above changes any output."""
        wide = np.arange(-_REACH, _REACH + 1, dtype=np.float32)
        outputs = np.clip(np.rint(self.steps(wide, fused=instructions.fuses)) + self.after.zero_point, 0, 255)
        low, high = before.low - before.zero_point, before.high - before.zero_point
        at = {value: outputs[wide == value][0] for value in (low, high)}
        return bool((outputs[wide < low] != at[low]).any()), bool((outputs[wide > high] != at[high]).any())
