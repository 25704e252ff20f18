"""Softmax and layer norm of float rows as kernels that are written directly, not scheduled.

A row is read in whole vectors; where its length is no multiple of a vector, the last one
overlaps the one before, and what was counted already is masked.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from tvm import tirx

from hw_profiles.runtimes.tvm_integer.emission import Emitter, Expr, constant, shuffle

LOWEST: Final = -3.0e38
"""Below every float that a network computes."""

_SMALLEST_EXPONENT: Final = -87.3
_LOG2_E: Final = 1.44269504
_LN2: Final = (0.693359375, -2.12194440e-4)
"""The first summand has so few digits that its product with a whole number is exact."""
_POLYNOMIAL: Final = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5)
"""Of exp, after Cephes' expf (Moshier); the relative error stays below 2e-7."""


def fitting_lanes(length: int, lanes: int) -> int:
    """The widest vector, of a power of two, that a row holds."""
    return min(lanes, 1 << (length.bit_length() - 1))


def emit_softmax(emitter: Emitter, shape: tuple[int, ...], most_lanes: int) -> None:
    """Softmax over the last axis of a float32 tensor of this shape."""
    rows, length = math.prod(shape[:-1]), shape[-1]
    source = emitter.operand("input", "float32", *shape)
    output = emitter.operand("output", "float32", *shape)
    lanes = fitting_lanes(length, most_lanes)
    with emitter.loop(rows) as row:
        start = row * length
        registers = emitter.registers("float32", 2, lanes)
        registers[0], registers[1] = constant(LOWEST, "float32", lanes), constant(0.0, "float32", lanes)

        def largest(at: Expr, _new: int) -> None:
            registers[0] = tirx.Max(registers[0], emitter.load(source, start + at, lanes))

        _each_vector(emitter, length, lanes, largest)
        top = broadcast(across(emitter, registers[0], lanes, tirx.Max), lanes)

        def exponentials(at: Expr, new: int) -> None:
            value = exponential(emitter, emitter.load(source, start + at, lanes) - top, lanes)
            emitter.store(output, start + at, value, lanes)
            registers[1] = registers[1] + _masked(value, new, lanes)

        _each_vector(emitter, length, lanes, exponentials)
        share = emitter.let(tirx.const(1.0, "float32") / across(emitter, registers[1], lanes, _sum), "float32")

        def shares(at: Expr, new: int) -> None:
            # What the overlap has divided before stays as it is.
            old = constant(1.0, "float32", lanes) - _mask(new, lanes)
            factor = broadcast(share, lanes) * _mask(new, lanes) + old if new < lanes else broadcast(share, lanes)
            emitter.store(output, start + at, emitter.load(output, start + at, lanes) * factor, lanes)

        _each_vector(emitter, length, lanes, shares)


def emit_layer_norm(emitter: Emitter, shape: tuple[int, ...], epsilon: float, most_lanes: int) -> None:
    """Layer norm over the last axis of a float32 tensor of this shape, with scale and shift ``(length,)``."""
    rows, length = math.prod(shape[:-1]), shape[-1]
    source = emitter.operand("input", "float32", *shape)
    scale = emitter.operand("scale", "float32", length)
    shift = emitter.operand("shift", "float32", length)
    output = emitter.operand("output", "float32", *shape)
    lanes = fitting_lanes(length, most_lanes)
    part = tirx.const(1.0 / length, "float32")
    with emitter.loop(rows) as row:
        start = row * length
        registers = emitter.registers("float32", 2, lanes)
        registers[0] = registers[1] = constant(0.0, "float32", lanes)

        def total(at: Expr, new: int) -> None:
            registers[0] = registers[0] + _masked(emitter.load(source, start + at, lanes), new, lanes)

        _each_vector(emitter, length, lanes, total)
        mean = broadcast(emitter.let(across(emitter, registers[0], lanes, _sum) * part, "float32"), lanes)

        def squares(at: Expr, new: int) -> None:
            centred = emitter.let(emitter.load(source, start + at, lanes) - mean, _float(lanes))
            registers[1] = registers[1] + _masked(centred * centred, new, lanes)

        _each_vector(emitter, length, lanes, squares)
        variance = across(emitter, registers[1], lanes, _sum) * part + tirx.const(epsilon, "float32")
        slope = broadcast(emitter.let(tirx.const(1.0, "float32") / tirx.sqrt(variance), "float32"), lanes)

        def normalized(at: Expr, _new: int) -> None:
            centred = (emitter.load(source, start + at, lanes) - mean) * slope
            value = centred * emitter.load(scale, at, lanes) + emitter.load(shift, at, lanes)
            emitter.store(output, start + at, value, lanes)

        _each_vector(emitter, length, lanes, normalized)


def exponential(emitter: Emitter, x: Expr, lanes: int) -> Expr:
    """The exponential function of a vector of values up to 0."""

    def number(value: float) -> Expr:
        return constant(value, "float32", lanes)

    x = emitter.let(tirx.Max(x, number(_SMALLEST_EXPONENT)), _float(lanes))
    whole = emitter.let(tirx.floor(x * number(_LOG2_E) + number(0.5)), _float(lanes))
    rest = emitter.let(x - whole * number(_LN2[0]) - whole * number(_LN2[1]), _float(lanes))
    value = number(_POLYNOMIAL[0])
    for coefficient in _POLYNOMIAL[1:]:
        value = value * rest + number(coefficient)
    value = value * (rest * rest) + rest + number(1.0)
    kind = f"int32x{lanes}" if lanes > 1 else "int32"
    bits = (tirx.Cast(kind, whole) + constant(127, "int32", lanes)) << constant(23, "int32", lanes)
    return emitter.let(value * tirx.reinterpret(_float(lanes), bits), _float(lanes))


def across(emitter: Emitter, vector: Expr, lanes: int, combine: Callable[[Expr, Expr], Expr]) -> Expr:
    """One value from all elements of a vector."""
    while lanes > 1:
        vector = emitter.let(vector, _float(lanes))
        lanes //= 2
        halves = [shuffle([vector], range(first, first + lanes)) for first in (0, lanes)]
        vector = combine(*halves)
    return emitter.let(vector, "float32")


def broadcast(value: Expr, lanes: int) -> Expr:
    """A vector of one value."""
    return tirx.Broadcast(value, lanes) if lanes > 1 else value


def _each_vector(emitter: Emitter, length: int, lanes: int, body: Callable[[Expr, int], None]) -> None:
    """Calls ``body`` with where each vector starts in its row, and how many of its last elements are new."""
    whole, left = divmod(length, lanes)
    with emitter.loop(whole) as number:
        body(number * lanes, lanes)
    if left:
        body(length - lanes, left)


def _mask(new: int, lanes: int) -> Expr:
    """1 in the last ``new`` elements, 0 before."""
    if lanes == 1:
        return tirx.const(1.0, "float32")
    order = np.arange(lanes) + np.where(np.arange(lanes) >= lanes - new, lanes, 0)
    return shuffle([constant(0.0, "float32", lanes), constant(1.0, "float32", lanes)], order)


def _masked(value: Expr, new: int, lanes: int) -> Expr:
    return value if new == lanes else value * _mask(new, lanes)


def _sum(first: Expr, second: Expr) -> Expr:
    return first + second


def _float(lanes: int) -> str:
    return f"float32x{lanes}" if lanes > 1 else "float32"
