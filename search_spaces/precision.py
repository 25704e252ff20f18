"""The precisions that units can have: float, int8, w4a8, and those that other packages register.

A package registers a precision by an entry point in the group ``hwnas.precisions`` that names a
:class:`search_spaces.quant_spec.QuantSpec`; the entry point has the precision's name. They
are read once, when this module is imported, so that every process of an installation has
the same genes.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import ClassVar, Final, Self, TypeAlias

from search_spaces.errors import NasError
from search_spaces.quant_spec import QuantSpec

ENTRY_POINT_GROUP: Final = "hwnas.precisions"

Precision: TypeAlias = str
"""A precision's name."""


class PrecisionError(NasError):
    """Another package's precision that cannot be loaded."""

    code: ClassVar[str] = "bad-precision"


class Width(int):
    """Bits of activations, and of the weights that they are multiplied by.

    As an integer it is the activations' width: a change of that is a conversion, whatever the weights.
    """

    weight_bits: int

    def __new__(cls, activation_bits: int, weight_bits: int | None = None) -> Self:
        """The width; weights are as wide as activations by default."""
        width = super().__new__(cls, activation_bits)
        width.weight_bits = activation_bits if weight_bits is None else weight_bits
        return width


_BUILT_IN: Final = (
    QuantSpec(name="fp32"),
    QuantSpec(name="int8", weight_bits=8, activation_bits=8),
    QuantSpec(name="w4a8", weight_bits=4, activation_bits=8),
)
"""``int8`` is what the literature calls w8a8. Their order is the order of genes' choices, which must not change."""


def _registered() -> tuple[QuantSpec, ...]:
    """Precisions of other packages by name, so that all processes number them alike."""
    found = []
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        try:
            spec = point.load()
        except Exception as error:  # another package's code can raise anything
            raise PrecisionError(f"precision {point.name!r} ({point.value}) cannot be loaded: {error}.") from error
        if not isinstance(spec, QuantSpec) or spec.name != point.name or spec.name in {one.name for one in _BUILT_IN}:
            raise PrecisionError(
                f"precision {point.name!r} ({point.value}) must be a QuantSpec of this name, and of no built-in one."
            )
        found.append(spec)
    return tuple(found)


SPECS: Final[Mapping[Precision, QuantSpec]] = MappingProxyType(
    {spec.name: spec for spec in (*_BUILT_IN, *_registered())}
)
"""By name; the first is float."""
PRECISIONS: Final[tuple[Precision, ...]] = tuple(SPECS)
BITS: Final[Mapping[Precision, Width]] = MappingProxyType(
    {name: Width(spec.activation_bits, spec.weight_bits) for name, spec in SPECS.items()}
)
