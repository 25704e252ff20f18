"""Precisions of a quantization policy, one per unit."""

from typing import Final, TypeAlias

Precision: TypeAlias = str
"""A precision's name."""
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "int8")
BITS: Final[dict[str, int]] = {"fp32": 32, "int8": 8}
