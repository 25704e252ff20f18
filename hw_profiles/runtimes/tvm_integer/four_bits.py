"""4-bit weights: two in a byte of memory, sixteen times their value in registers.

A byte whose lower half is cleared is sixteen times the signed value in its upper half. So neither half of a
packed byte needs its sign extended: one is masked, the other shifted and masked. Sums, to which biases of
sixteen times their size are added, are then sixteen times too large; channels' scales make up for it, which
rounds nothing, since sixteen is a power of two.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from hw_profiles.runtimes.tvm_integer.emission import Emitter, Expr, constant

_UPPER_HALVES: Final = -0x0F0F0F10
"""The upper half of every byte of an int32."""


def pack_halves(lower: NDArray[np.int8], upper: NDArray[np.int8]) -> NDArray[np.int8]:
    """Bytes that hold two weights each; all arrays have one shape.

    Args:
        lower: integers from -8 to 7.
        upper: likewise.
    """
    low, high = (half.astype(np.uint8) for half in (lower, upper))
    packed: NDArray[np.int8] = np.bitwise_or(low & np.uint8(15), high << np.uint8(4)).view(np.int8)
    return packed


def unpack_halves(emitter: Emitter, packed: Expr, lanes: int) -> tuple[Expr, Expr]:
    """Vectors of int8, ``4 * lanes`` long: the lower and the upper halves' weights, times ``FOUR_BITS_FACTOR``.

    Args:
        emitter: of the kernel.
        packed: int8 vector of ``4 * lanes``.
        lanes: int32 values per vector.
    """
    mask = constant(_UPPER_HALVES, "int32", lanes)
    words = emitter.let(tirx.reinterpret(f"int32x{lanes}", packed), f"int32x{lanes}")
    halves = tirx.bitwise_and(words << constant(4, "int32", lanes), mask), tirx.bitwise_and(words, mask)
    lower, upper = (tirx.reinterpret(f"int8x{4 * lanes}", half) for half in halves)
    return lower, upper
