"""Cost facts of whole populations, gathered from per-unit tables.

A unit's facts depend on its key alone, so they are computed once a distinct key from
its operators and gathered: a population of 50,000 networks costs a few array look-ups
a unit. Facts add up over units, except peak memory, which is a maximum.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from search_spaces.operators import Operator
from search_spaces.precision import BITS, Precision, Width
from search_spaces.space import IntArray, SearchSpace

FloatArray = NDArray[np.float64]


def _widths(op: Operator) -> tuple[int, int]:
    return op.bits, op.weight_bits


def _of_kind(kind: str, bits: Width) -> Callable[[Operator], bool]:
    return lambda op: op.kind == kind and _widths(op) == (bits, bits.weight_bits)


def _pointwise(bits: Width) -> Callable[[Operator], bool]:
    return lambda op: op.kernel == 1 and _of_kind("convolution", bits)(op)


def _spatial(bits: Width) -> Callable[[Operator], bool]:
    return lambda op: op.kernel > 1 and _of_kind("convolution", bits)(op)


_CLASSES: Final[dict[str, Callable[[Operator], bool]]] = {
    f"{name}_{precision}": test(bits)
    for precision, bits in BITS.items()
    for name, test in (
        ("pointwise", _pointwise),
        ("spatial", _spatial),
        ("depthwise", lambda b: _of_kind("depthwise", b)),
        ("linear", lambda b: _of_kind("linear", b)),
        ("matmul", lambda b: _of_kind("matmul", b)),
    )
}

SUMMED: Final[tuple[str, ...]] = (
    "macs",
    "parameters",
    "weight_bytes",
    "activation_bytes",
    "kernels",
    "hard_swish_elements",
    "gelu_elements",
    "softmax_elements",
    "layer_norm_elements",
    "residual_elements",
    "conversion_elements",
    "light_kernels",
    "light_bytes",
    *(f"macs:{name}" for name in _CLASSES),
    *(f"bytes:{name}" for name in _CLASSES),
    *(f"kernels:{name}" for name in _CLASSES),
)
MAXIMA: Final[tuple[str, ...]] = ("peak_activation_bytes",)
"""Of single operators: what the largest one reads and writes, without what waits in memory for a later operator."""
FACTS: Final[tuple[str, ...]] = SUMMED + MAXIMA
"""Columns of :meth:`CostFacts.of`, in order."""


def operator_facts(op: Operator) -> list[float]:
    """One operator's row, in the order of :data:`FACTS`."""
    light = not op.has_products
    member = [test(op) for test in _CLASSES.values()]
    return [
        op.macs,
        op.parameters,
        op.weight_bytes,
        op.activation_bytes,
        1,
        op.output_elements if op.activation == "hard_swish" else 0,
        op.output_elements if op.activation == "gelu" else 0,
        op.output_elements if op.kind == "softmax" else 0,
        op.output_elements if op.kind == "layer_norm" else 0,
        op.output_elements if op.residual else 0,
        op.output_elements if op.kind in ("quantize", "dequantize") else 0,
        int(light),
        op.activation_bytes if light else 0,
        *(op.macs if inside else 0 for inside in member),
        *(op.activation_bytes + op.weight_bytes if inside else 0 for inside in member),
        *(int(inside) for inside in member),
        op.activation_bytes,
    ]


def weight_counts(space: SearchSpace, genotypes: IntArray) -> dict[Precision, FloatArray]:
    """Weights, without biases, that canonical genotypes hold in each precision, each of shape ``(n,)``.

    Precisions of equal widths are counted as the first of them.
    """
    names: dict[tuple[int, int], Precision] = {}
    for name, bits in BITS.items():
        names.setdefault((bits, bits.weight_bits), name)
    counts = {name: np.zeros(len(genotypes)) for name in BITS}
    keys = space.unit_keys(genotypes)
    for unit in range(keys.shape[1]):
        for key in np.unique(keys[:, unit]).tolist():
            here = keys[:, unit] == key
            for op in space.unit_operators(unit, key) if key >= 0 else ():
                if op.has_weights:
                    counts[names[_widths(op)]][here] += op.weight_count
    return counts


class CostFacts:
    """Cost facts of one space's networks; computed tables are cached with the space."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._tables = space.fact_tables

    def of(self, genotypes: IntArray) -> FloatArray:
        """Facts of canonical genotypes, shape ``(n, len(FACTS))``; exact counts as floats."""
        keys = self.space.unit_keys(genotypes)
        total = np.zeros((len(genotypes), len(FACTS)))
        summed = len(SUMMED)
        for unit in range(keys.shape[1]):
            distinct, inverse = np.unique(keys[:, unit], return_inverse=True)
            rows = self._rows(unit, distinct.tolist())[inverse]
            total[:, :summed] += rows[:, :summed]
            np.maximum(total[:, summed:], rows[:, summed:], out=total[:, summed:])
        return total

    def column(self, name: str, genotypes: IntArray) -> FloatArray:
        """One named fact, shape ``(n,)``."""
        return self.of(genotypes)[:, FACTS.index(name)]

    def _rows(self, unit: int, keys: list[int]) -> FloatArray:
        """A unit's facts for some keys, shape ``(keys, len(FACTS))``."""
        table = self._tables[unit]
        new = [key for key in keys if key not in table]
        if new:
            table.update(zip(new, self._computed(unit, new), strict=True))
        return np.stack([table[key] for key in keys])

    def _computed(self, unit: int, keys: list[int]) -> FloatArray:
        """The same from the operators; configurations of a unit share most of them."""
        operators = [self.space.unit_operators(unit, key) if key >= 0 else () for key in keys]
        numbers: dict[Operator, int] = {}
        order = [numbers.setdefault(operator, len(numbers)) for group in operators for operator in group]
        facts = np.array([operator_facts(operator) for operator in numbers], dtype=np.float64)
        each = facts.reshape(-1, len(FACTS))[order]
        owner = np.repeat(np.arange(len(keys)), [len(group) for group in operators])
        rows = np.zeros((len(keys), len(FACTS)))
        np.add.at(rows[:, : len(SUMMED)], owner, each[:, : len(SUMMED)])
        np.maximum.at(rows[:, len(SUMMED) :], owner, each[:, len(SUMMED) :])
        return rows
