"""Requantization of int32 sums to uint8 inside a kernel's tile: scale, round half to even, activation, clip.

A quantized graph rounds between a convolution, its activation and a residual sum; an
:class:`Epilogue` keeps every one of these roundings, so that the results are those of the
separate operators. Arithmetic is float32 in the operation order of :meth:`Activation.steps`;
for an activation it is compared with the operator's table of 256 outputs when a network
is compiled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tvm import tirx

from hw_profiles.runtimes.tvm_integer.emission import Emitter, Expr, constant
from hw_profiles.runtimes.tvm_integer.instructions import VECTORS_PER_GROUP, Instructions
from hw_profiles.runtimes.tvm_integer.schemes import Activation, Clip


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
