"""Kernels without weights: conversions, means, products with a gate, sums, tables of 256 entries, padding."""

from dataclasses import replace
from typing import Final

import numpy as np
from tvm import tirx

from hw_profiles.runtimes.tvm_integer.emission import Emitter, Expr, View, constant
from hw_profiles.runtimes.tvm_integer.instructions import VECTORS_PER_GROUP, Instructions
from hw_profiles.runtimes.tvm_integer.requantization import Residual, widened
from hw_profiles.runtimes.tvm_integer.schemes import Activation, Clip, Quantization
from hw_profiles.runtimes.tvm_integer.shapes import CHANNEL_MULTIPLE, ActivationShape, padded

_SUM_BITS: Final = 30
_STEP_BITS: Final = 9


def _float_shape(shape: ActivationShape, *, channels_first: bool) -> tuple[int, ...]:
    if shape.pixels == 1 and not channels_first:
        return (1, shape.channels)
    sides = (shape.height, shape.width)
    return (1, shape.channels, *sides) if channels_first else (1, *sides, shape.channels)


def emit_quantize(
    emitter: Emitter,
    shape: ActivationShape,
    after: Quantization,
    instructions: Instructions,
    *,
    channels_first: bool = False,
) -> None:
    """float32 (height, width, channels) to uint8 with padded channels, by division as ONNX says.

    With ``channels_first``, the input is (channels, height, width).
    """
    source = emitter.operand("input", "float32", *_float_shape(shape, channels_first=channels_first))
    output = emitter.operand("output", "uint8", shape.held)
    held = padded(shape.channels)
    if channels_first:
        lanes = instructions.lanes if shape.pixels % instructions.lanes == 0 else 1
        with emitter.loop(shape.channels) as channel, emitter.loop(shape.pixels // lanes) as pixel:
            value = emitter.load(source, channel * shape.pixels + pixel * lanes, lanes)
            emitter.store(output, pixel * lanes * held + channel, _quantized(value, after, lanes), lanes, held)
        return
    with emitter.loop(shape.pixels) as pixel:
        whole, left = divmod(shape.channels, instructions.lanes)
        for first, count, lanes in (
            (0, whole, instructions.lanes), (whole * instructions.lanes, left, 1)
        ):  # fmt: skip
            if count:
                with emitter.loop(count) as number:
                    at = first + number * lanes
                    value = emitter.load(source, pixel * shape.channels + at, lanes)
                    emitter.store(output, pixel * held + at, _quantized(value, after, lanes), lanes)


def emit_quantize_padded(
    emitter: Emitter, shape: ActivationShape, pads: tuple[int, int, int, int], after: Quantization
) -> None:
    """float32 (channels, height, width), at most 4 channels, to uint8 with 4 channels, inside its padding.

    Args:
        emitter: of the program.
        shape: of the input.
        pads: top, left, bottom, right, filled with the zero point.
        after: scheme of the output.
    """
    top, left, bottom, right = pads
    wide, high = shape.width + left + right, shape.height + top + bottom
    source = emitter.operand("input", "float32", *_float_shape(shape, channels_first=True))
    output = emitter.operand("output", "uint8", high * wide * 4)
    with emitter.loop(high * wide) as pixel:
        emitter.store(output, pixel * 4, constant(after.zero_point, "uint8", 4), 4)
    lanes = next(lanes for lanes in (16, 8, 4, 2, 1) if shape.width % lanes == 0)
    with emitter.loop(shape.height) as y, emitter.loop(shape.width // lanes) as x:
        for channel in range(shape.channels):
            value = emitter.load(source, channel * shape.pixels + y * shape.width + x * lanes, lanes)
            at = ((y + top) * wide + left + x * lanes) * 4 + channel
            emitter.store(output, at, _quantized(value, after, lanes), lanes, 4)


def _quantized(value: Expr, after: Quantization, lanes: int) -> Expr:
    """Clipped before it is rounded, so that any float fits."""
    low, high = (constant(limit - after.zero_point, "float32", lanes) for limit in (0, 255))
    scaled = value / constant(after.scale, "float32", lanes)
    kind = "int32" if lanes == 1 else f"int32x{lanes}"
    rounded = tirx.Cast(kind, tirx.nearbyint(tirx.Max(tirx.Min(scaled, high), low)))
    return tirx.Cast(kind.replace("int32", "uint8"), rounded + constant(after.zero_point, "int32", lanes))


def emit_dequantize(emitter: Emitter, shape: ActivationShape, before: Quantization, instructions: Instructions) -> None:
    """uint8 with padded channels to float32 (height, width, channels)."""
    source = emitter.operand("input", "uint8", shape.held)
    output = emitter.operand("output", "float32", *_float_shape(shape, channels_first=False))
    whole, left = divmod(shape.channels, instructions.lanes)
    with emitter.loop(shape.pixels) as pixel:
        for first, count, lanes in ((0, whole, instructions.lanes), (whole * instructions.lanes, left, 1)):
            if count:
                with emitter.loop(count) as number:
                    at = first + number * lanes
                    kind = "int32" if lanes == 1 else f"int32x{lanes}"
                    value = tirx.Cast(kind, emitter.load(source, pixel * padded(shape.channels) + at, lanes))
                    value = tirx.Cast(kind.replace("int", "float"), value - constant(before.zero_point, "int32", lanes))
                    value = value * constant(before.scale, "float32", lanes)
                    emitter.store(output, pixel * shape.channels + at, value, lanes)


def emit_table(emitter: Emitter, shape: ActivationShape) -> None:
    """Replaces each byte by its entry in the second argument, 256 bytes."""
    source = emitter.operand("input", "uint8", shape.held)
    table = emitter.operand("table", "uint8", 256)
    output = emitter.operand("output", "uint8", shape.held)
    with emitter.loop(shape.held // CHANNEL_MULTIPLE) as block:
        for number in range(CHANNEL_MULTIPLE):
            at = block * CHANNEL_MULTIPLE + number
            emitter.store(output, at, emitter.load(table, tirx.Cast("int32", emitter.load(source, at, 1)), 1), 1)


def emit_pad(emitter: Emitter, shape: ActivationShape, pads: tuple[int, int, int, int], zero_point: int) -> None:
    """A copy with ``pads`` (top, left, bottom, right) pixels of the zero point around it."""
    top, left, bottom, right = pads
    held, wide = padded(shape.channels), shape.width + left + right
    high = shape.height + top + bottom
    source = emitter.operand("input", "uint8", shape.held)
    output = emitter.operand("output", "uint8", high * wide * held)
    with emitter.loop(high * wide * held // CHANNEL_MULTIPLE) as block:
        emitter.store(
            output, block * CHANNEL_MULTIPLE, constant(zero_point, "uint8", CHANNEL_MULTIPLE), CHANNEL_MULTIPLE
        )
    with emitter.loop(shape.height) as y, emitter.loop(shape.width * held // CHANNEL_MULTIPLE) as block:
        value = emitter.load(source, y * shape.width * held + block * CHANNEL_MULTIPLE, CHANNEL_MULTIPLE)
        at = ((y + top) * wide + left) * held + block * CHANNEL_MULTIPLE
        emitter.store(output, at, value, CHANNEL_MULTIPLE)


def emit_add(
    emitter: Emitter, shape: ActivationShape, before: Clip, residual: Residual, after: Clip, instructions: Instructions
) -> None:
    """The sum of two tensors with scales of their own; ``before`` is the first one's scheme."""
    source = emitter.operand("input", "uint8", shape.held)
    other = emitter.operand("other", "uint8", shape.held)
    output = emitter.operand("output", "uint8", shape.held)
    lanes = instructions.lanes
    dtype = f"float32x{lanes}"
    ratio, other_ratio = (constant(value, "float32", lanes) for value in (residual.ratio, residual.other_ratio))
    zero, other_zero = (constant(value, "int32", lanes) for value in (before.zero_point, residual.other_zero_point))
    for start, vectors, repeats in pieces(shape.held, instructions):
        with emitter.loop(repeats) as number:
            at = start + number * (vectors * lanes)
            first = widened(instructions, emitter, source, at, vectors)
            second = widened(instructions, emitter, other, at, vectors)
            sums = [
                instructions.multiply_add(
                    tirx.Cast(dtype, a - zero), ratio, tirx.Cast(dtype, b - other_zero) * other_ratio
                )
                for a, b in zip(first, second, strict=True)
            ]
            store_rounded(emitter, instructions, output, at, sums, after)


def emit_gate(
    emitter: Emitter,
    shape: ActivationShape,
    before: Quantization,
    gate: Quantization,
    after: tuple[Quantization, Clip],
    instructions: Instructions,
) -> None:
    """Each channel times its own factor: arguments input, gate (channels,), output."""
    held, lanes = padded(shape.channels), instructions.lanes
    source = emitter.operand("input", "uint8", shape.held)
    factors = emitter.operand("gate", "uint8", held)
    output = emitter.operand("output", "uint8", shape.held)
    ratio = float(np.float32(before.scale) * np.float32(gate.scale) / np.float32(after[0].scale))
    dtype = f"float32x{lanes}"
    for start, vectors, repeats in pieces(held, instructions):
        with emitter.loop(repeats) as group:
            channel = start + group * (vectors * lanes)
            zero = constant(gate.zero_point, "int32", lanes)
            scales = [
                emitter.let(tirx.Cast(dtype, value - zero) * constant(ratio, "float32", lanes), dtype)
                for value in widened(instructions, emitter, factors, channel, vectors)
            ]
            with emitter.loop(shape.pixels) as pixel:
                at = pixel * held + channel
                values = widened(instructions, emitter, source, at, vectors)
                zero = constant(before.zero_point, "int32", lanes)
                scaled = [tirx.Cast(dtype, value - zero) * scale for value, scale in zip(values, scales, strict=True)]
                store_rounded(emitter, instructions, output, at, scaled, after[1])


def emit_mean(
    emitter: Emitter,
    shape: ActivationShape,
    before: Quantization,
    after: tuple[Quantization, Clip],
    instructions: Instructions,
    activation: Activation | None = None,
) -> None:
    """Channel means (channels,); of activated inputs where there is an activation by :func:`summed_activation`."""
    held, lanes = padded(shape.channels), instructions.lanes
    source = emitter.operand("input", "uint8", shape.held)
    output = emitter.operand("output", "uint8", held)
    dtype = f"float32x{lanes}"
    scale = mean_scale(shape, before, after[0], activation)
    shift = 0 if activation is not None else shape.pixels * before.zero_point
    for start, vectors, repeats in pieces(held, instructions):
        with emitter.loop(repeats) as group:
            channel = start + group * (vectors * lanes)
            sums = emitter.registers("int32", vectors, lanes)
            for vector in range(vectors):
                sums[vector] = constant(-shift, "int32", lanes)
            with emitter.loop(shape.pixels) as pixel:
                values = widened(instructions, emitter, source, pixel * held + channel, vectors)
                for vector, value in enumerate(values):
                    term = value if activation is None else _fixed_point(value, activation, instructions)
                    sums[vector] = sums[vector] + term
            scaled = [tirx.Cast(dtype, sums[vector]) * constant(scale, "float32", lanes) for vector in range(vectors)]
            store_rounded(emitter, instructions, output, channel, scaled, after[1])


def summed_activation(activation: Activation, pixels: int) -> Activation:
    """The activation in fixed point, as fine as so many can be summed in int32: sums then have no order."""
    bits = _SUM_BITS - _STEP_BITS - pixels.bit_length()
    unit = activation.before.scale if activation.kind == "hard_swish" else 1 / 256
    return replace(activation, after=Quantization(scale=unit / 2.0**bits, zero_point=0))


def mean_scale(
    shape: ActivationShape, before: Quantization, after: Quantization, activation: Activation | None
) -> float:
    """Steps of the output per unit of a mean's sum."""
    unit = before.scale if activation is None else activation.after.scale
    return float(np.float32(unit / (shape.pixels * after.scale)))


def _fixed_point(value: Expr, activation: Activation, instructions: Instructions) -> Expr:
    lanes = instructions.lanes
    centred = tirx.Cast(f"float32x{lanes}", value - constant(activation.before.zero_point, "int32", lanes))
    slope, offset, ceiling = (constant(number, "float32", lanes) for number in activation.coefficients())
    gate = tirx.Max(
        tirx.Min(instructions.multiply_add(centred, slope, offset), ceiling), constant(0.0, "float32", lanes)
    )
    return instructions.round(centred * gate if activation.kind == "hard_swish" else gate)


def pieces(size: int, instructions: Instructions) -> list[tuple[int, int, int]]:
    """``(first element, vectors, repeats)`` that cover a flat tensor."""
    whole, left = divmod(size, VECTORS_PER_GROUP * instructions.lanes)
    pieces = [(0, VECTORS_PER_GROUP, whole)] if whole else []
    vectors = left // instructions.lanes
    return pieces + ([(size - left, vectors, 1)] if vectors else [])


def store_rounded(
    emitter: Emitter,
    instructions: Instructions,
    output: View,
    at: Expr,
    values: list[Expr],
    clip: Clip,
) -> None:
    """Rounds float32 vectors in a kernel's channel order to uint8 and writes them."""
    rounded = [emitter.let(instructions.round(value), f"int32x{instructions.lanes}") for value in values]
    narrowed = instructions.narrow(rounded, clip.zero_point, clip.low, clip.high)
    lanes = len(values) * instructions.lanes // len(narrowed)
    for number, value in enumerate(narrowed):
        emitter.store(output, at + number * lanes, value, lanes)
