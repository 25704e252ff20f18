"""Requantization of int32 sums to uint8 inside a kernel's tile: scale, round half to even, activation, clip.

A quantized graph rounds between a convolution, its activation and a residual sum; an
:class:`Epilogue` keeps every one of these roundings, so that the results are those of the
separate operators. Arithmetic is float32 in the operation order of :meth:`Activation.steps`;
for an activation it is compared with the operator's table of 256 outputs when a network
is compiled.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from hw_profiles.runtimes.tvm_integer.emission import Emitter, Expr, constant
from hw_profiles.runtimes.tvm_integer.instructions import VECTORS_PER_GROUP, Instructions

FloatArray = NDArray[np.float32]
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

    def is_exact(self, instructions: Instructions) -> bool:
        """Whether :meth:`steps` rounds to :meth:`table` for every input; there are none for GELU."""
        if self.kind == "gelu":
            return False
        centred = (np.arange(256) - self.before.zero_point).astype(np.float32)
        values = np.clip(np.rint(self.steps(centred, fused=instructions.fuses)) + self.after.zero_point, 0, 255)
        return bool(np.array_equal(values, self.table()))

    def clips(self, before: Clip, instructions: Instructions) -> tuple[bool, bool]:
        """Whether clipping the input below and above changes any output."""
        wide = np.arange(-_REACH, _REACH + 1, dtype=np.float32)
        outputs = np.clip(np.rint(self.steps(wide, fused=instructions.fuses)) + self.after.zero_point, 0, 255)
        low, high = before.low - before.zero_point, before.high - before.zero_point
        at = {value: outputs[wide == value][0] for value in (low, high)}
        return bool((outputs[wide < low] != at[low]).any()), bool((outputs[wide > high] != at[high]).any())


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """Adds another tensor of the same shape: ``value * ratio + (other - zero_point) * other_ratio``."""

    ratio: float
    other_ratio: float
    other_zero_point: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Epilogue:
    """What follows a sum: rounded and clipped as ``first``, then each step and its own rounding."""

    first: Clip
    rounds_first: bool = True
    """False where the activation takes the scaled sum as it is."""
    activation: Activation | None = None
    residual: Residual | None = None
    """After the activation, if there is one."""
    after_activation: Clip | None = None
    after_residual: Clip | None = None

    @property
    def last(self) -> Clip:
        """The scheme of the output."""
        return self.after_residual or self.after_activation or self.first

    def emit(
        self,
        emitter: Emitter,
        instructions: Instructions,
        scaled: Sequence[Expr],
        others: Callable[[], Sequence[Expr]] | None = None,
    ) -> list[Expr]:
        """Vectors of uint8 from vectors of scaled float32 sums, as :meth:`Instructions.narrow` gives them.

        Args:
            emitter: of the kernel.
            instructions: of the processor.
            scaled: sums times their channels' scales, in the instructions' channel order.
            others: reads the residual's other tensor as int32, in the same order.
        """
        lanes = instructions.lanes
        dtype = f"float32x{lanes}"
        values = list(scaled)
        clip = self.first
        if self.activation is not None and self.after_activation is not None:
            if self.rounds_first:
                needed = self.activation.clips(clip, instructions)
                values = [_centred(value, clip, needed, instructions) for value in values]
            values = [emitter.let(value, dtype) for value in values]
            values = [_activated(value, self.activation, instructions) for value in values]
            clip = self.after_activation
        if self.residual is not None and self.after_residual is not None and others is not None:
            values = [_centred(value, clip, (True, True), instructions) for value in values]
            ratio, other_ratio = (
                constant(value, "float32", lanes) for value in (self.residual.ratio, self.residual.other_ratio)
            )
            zero_point = constant(self.residual.other_zero_point, "int32", lanes)
            added = [tirx.Cast(dtype, other - zero_point) * other_ratio for other in others()]
            pairs = zip(values, added, strict=True)
            values = [instructions.multiply_add(value, ratio, other) for value, other in pairs]
            clip = self.after_residual
        rounded = [emitter.let(instructions.round(value), f"int32x{lanes}") for value in values]
        return instructions.narrow(rounded, clip.zero_point, clip.low, clip.high)


def _centred(value: Expr, clip: Clip, needed: tuple[bool, bool], instructions: Instructions) -> Expr:
    """Rounded half to even around zero, clipped where that is needed."""
    lanes = instructions.lanes
    if needed[0]:
        value = tirx.Max(value, constant(clip.low - clip.zero_point, "float32", lanes))
    if needed[1]:
        value = tirx.Min(value, constant(clip.high - clip.zero_point, "float32", lanes))
    return (
        tirx.Cast(f"float32x{instructions.lanes}", instructions.round(value))
        if instructions.packs
        else tirx.nearbyint(value)
    )


def _activated(value: Expr, activation: Activation, instructions: Instructions) -> Expr:
    lanes = instructions.lanes
    slope, offset, ceiling = (constant(number, "float32", lanes) for number in activation.coefficients())
    gate = tirx.Max(tirx.Min(instructions.multiply_add(value, slope, offset), ceiling), constant(0.0, "float32", lanes))
    return value * gate if activation.kind == "hard_swish" else gate


def widened(instructions: Instructions, emitter: Emitter, buffer: Expr, index: Expr, vectors: int) -> list[Expr]:
    """uint8 channels from ``index`` on as int32 vectors in the order of the sums."""
    lanes = instructions.lanes
    if not (instructions.packs and vectors == VECTORS_PER_GROUP):
        return [
            tirx.Cast(f"int32x{lanes}", emitter.load(buffer, index + number * lanes, lanes))
            for number in range(vectors)
        ]
    count = vectors * lanes
    row = emitter.let(emitter.load(buffer, index, count), f"uint8x{count}")
    zeros = constant(0, "uint8", count)
    in_place = []
    for channels in instructions.channel_order(vectors):
        order = np.full((lanes, 4), count)
        order[:, 0] = channels
        shuffled = tirx.Shuffle([row, zeros], [tirx.const(int(element), "int32") for element in order.ravel()])
        in_place.append(tirx.reinterpret(f"int32x{lanes}", shuffled))
    return in_place
