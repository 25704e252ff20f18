"""Instruction sets for integer kernels: four-way byte products summed into int32, rounding, narrowing.

Weights always lie as (..., lanes, 4) int8: each lane of a vector holds four neighbouring
input values' weights of one output channel. On x86, four vectors of sums are narrowed to
bytes by the processor's packing instructions, which work within 128 bits; so the channels
of four such vectors are dealt out in the order that packing undoes (`channel_order`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from tvm import tirx

from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.tvm_integer.emission import Expr, constant

Products = Literal["avx512_vnni", "avx_vnni", "avx512bw", "avx2", "neon_i8mm", "neon_dotprod", "generic"]
"""How byte products are summed; ``generic`` multiplies 32-bit lanes and runs everywhere, slowly."""

VECTORS_PER_GROUP: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """The instruction set that a kernel is written for."""

    products: Products
    lanes: int
    """int32 values per vector."""
    accumulators: int
    """Vectors that may hold sums."""
    fuses: bool = True
    """Whether a product and a sum of float32 are rounded once (FMA)."""

    @property
    def packs(self) -> bool:
        """Whether sums are narrowed by x86's packing instructions."""
        return self.products in {"avx512_vnni", "avx_vnni", "avx512bw", "avx2"}

    @property
    def activation_offset(self) -> int:
        """What activations are lowered by before they are multiplied: 128 where only signed products exist."""
        return 128 if self.products == "neon_dotprod" else 0

    def multiply_add(self, factor: Expr, other: Expr, summand: Expr) -> Expr:
        """``factor * other + summand`` in float32, rounded once where :attr:`fuses`."""
        if not self.fuses:
            return factor * other + summand
        return _intrinsic(f"float32x{self.lanes}", "llvm.fma", factor, other, summand)

    def channel_order(self, vectors: int) -> NDArray[np.int_]:
        """Channel of each lane of so many vectors of sums, shape ``(vectors, lanes)``."""
        natural = np.arange(vectors * self.lanes).reshape(vectors, self.lanes)
        if not (self.packs and vectors == VECTORS_PER_GROUP):
            return natural
        blocks = self.lanes // 4
        return natural.reshape(blocks, vectors, 4).transpose(1, 0, 2).reshape(vectors, self.lanes)

    def dot(self, total: Expr, activations: Expr, weights: Expr) -> Expr:
        """``total`` int32 plus the sums of four products each: uint8 and int8 vectors of ``4 * lanes``."""
        lanes = self.lanes
        match self.products:
            case "avx512_vnni":
                return _intrinsic("int32x16", "llvm.x86.avx512.vpdpbusd.512", total, activations, weights)
            case "avx_vnni":
                return _intrinsic("int32x8", "llvm.x86.avx512.vpdpbusd.256", total, activations, weights)
            case "neon_i8mm":
                return _intrinsic("int32x4", "llvm.aarch64.neon.usdot", total, activations, weights)
            case "neon_dotprod":
                signed = tirx.reinterpret("int8x16", activations)
                return _intrinsic("int32x4", "llvm.aarch64.neon.sdot", total, signed, weights)
            case "avx512bw" | "avx2":
                return total + self._products_of_pairs(activations, weights)
            case _:
                return _products_of_lanes(total, activations, weights, lanes)

    def _products_of_pairs(self, activations: Expr, weights: Expr) -> Expr:
        """Exact: even and odd bytes as 16-bit values; the 8-bit multiply-add would saturate."""
        lanes = self.lanes
        words = f"int16x{2 * lanes}"
        name = "llvm.x86.avx512.pmaddw.d.512" if lanes == 16 else "llvm.x86.avx2.pmadd.wd"
        eight = constant(8, "int16", 2 * lanes)
        x, w = tirx.reinterpret(words, activations), tirx.reinterpret(words, weights)
        odd_x = tirx.reinterpret(words, tirx.reinterpret(f"u{words}", x) >> constant(8, "uint16", 2 * lanes))
        even_x = tirx.bitwise_and(x, constant(255, "int16", 2 * lanes))
        even_w, odd_w = (w << eight) >> eight, w >> eight
        result = f"int32x{lanes}"
        return _intrinsic(result, name, even_x, even_w) + _intrinsic(result, name, odd_x, odd_w)

    def activations(self, words: Expr) -> Expr:
        """A vector of int32 whose bytes are activations, as :meth:`dot` takes it."""
        if self.activation_offset:
            words = tirx.bitwise_xor(words, constant(-0x7F7F7F80, "int32", self.lanes))
        return tirx.reinterpret(f"uint8x{4 * self.lanes}", words)

    def round(self, values: Expr) -> Expr:
        """float32 to int32, half to even; what does not fit in 32 bits is undefined."""
        match self.lanes if self.packs else 0:
            case 16:
                return _intrinsic(
                    "int32x16", "llvm.x86.avx512.mask.cvtps2dq.512",
                    values, constant(0, "int32", 16), tirx.const(-1, "int16"), tirx.const(4, "int32"),
                )  # fmt: skip
            case 8:
                return _intrinsic("int32x8", "llvm.x86.avx.cvt.ps2dq.256", values)
            case _:
                return tirx.Cast(f"int32x{self.lanes}", tirx.nearbyint(values))

    def narrow(self, sums: Sequence[Expr], zero_point: int, low: int, high: int) -> list[Expr]:
        """Vectors of uint8 in natural channel order: int32 plus the zero point, clipped to ``low`` to ``high``.

        Four vectors in this instruction set's channel order become one where it packs.
        """
        lanes = self.lanes
        if not (self.packs and len(sums) == VECTORS_PER_GROUP):
            limits = [constant(limit, "int32", lanes) for limit in (zero_point, low, high)]
            clipped = [tirx.Min(tirx.Max(value + limits[0], limits[1]), limits[2]) for value in sums]
            return [tirx.Cast(f"uint8x{lanes}", value) for value in clipped]
        sets = "avx512" if lanes == 16 else "avx2"
        bits = ".512" if lanes == 16 else ""
        words = f"int16x{2 * lanes}"
        halves = []
        for pair in (sums[:2], sums[2:]):
            half = _intrinsic(words, f"llvm.x86.{sets}.packssdw{bits}", *pair)
            if zero_point:
                half = _intrinsic(words, "llvm.sadd.sat", half, constant(zero_point, "int16", 2 * lanes))
            if low > 0:
                half = tirx.Max(half, constant(low, "int16", 2 * lanes))
            if high < 255:
                half = tirx.Min(half, constant(high, "int16", 2 * lanes))
            halves.append(half)
        packed = _intrinsic(f"int8x{4 * lanes}", f"llvm.x86.{sets}.packuswb{bits}", *halves)
        return [tirx.reinterpret(f"uint8x{4 * lanes}", packed)]


def _intrinsic(dtype: str, name: str, *arguments: Expr) -> Expr:
    return tirx.call_llvm_pure_intrin(dtype, name, *arguments)


def _products_of_lanes(total: Expr, activations: Expr, weights: Expr, lanes: int) -> Expr:
    words = f"int32x{lanes}"
    x, w = tirx.reinterpret(words, activations), tirx.reinterpret(words, weights)
    for byte in range(4):
        left = constant(24 - 8 * byte, "int32", lanes)
        value = tirx.bitwise_and(x >> constant(8 * byte, "int32", lanes), constant(255, "int32", lanes))
        total = total + value * ((w << left) >> constant(24, "int32", lanes))
    return total


_CHOICES: Final[tuple[tuple[frozenset[str], Instructions], ...]] = (
    (
        frozenset({"avx512f", "avx512bw", "avx512vl", "avx512_vnni", "fma"}),
        Instructions(products="avx512_vnni", lanes=16, accumulators=24),
    ),
    (frozenset({"avx2", "avx_vnni", "fma"}), Instructions(products="avx_vnni", lanes=8, accumulators=12)),
    (
        frozenset({"avx512f", "avx512bw", "avx512vl", "fma"}),
        Instructions(products="avx512bw", lanes=16, accumulators=16),
    ),
    (frozenset({"avx2", "fma"}), Instructions(products="avx2", lanes=8, accumulators=8)),
    (frozenset({"asimd", "asimddp", "i8mm"}), Instructions(products="neon_i8mm", lanes=4, accumulators=24)),
    (frozenset({"asimd", "asimddp"}), Instructions(products="neon_dotprod", lanes=4, accumulators=24)),
)
"""From the fastest to the slowest, by the instruction sets that each needs."""

GENERIC: Final = Instructions(products="generic", lanes=4, accumulators=8, fuses=False)


def instructions_of(profile: DeviceProfile) -> Instructions:
    """The fastest instructions that a profile lists; :data:`GENERIC` where it lists none of them."""
    # LLVM fuses wherever it can, so that what is not said to be fused must not be fusible.
    generic = replace(GENERIC, fuses=bool({"fma", "asimd"}.intersection(profile.isa)))
    return next((choice for needed, choice in _CHOICES if needed <= set(profile.isa)), generic)
