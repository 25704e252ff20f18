"""Definition of a precision; sizes, cost facts, features and exports are derived from it."""

from dataclasses import dataclass
from typing import Literal

from search_spaces.errors import UsageError

Granularity = Literal["channel", "tensor"]
Scheme = Literal["symmetric", "asymmetric"]
_FLOAT_BITS = 32
_INTEGER_BITS = (2, 3, 4, 5, 6, 7, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantSpec:
    """The precision of one unit: bits, granularity and scheme of its weights and activations.

    Example: ``QuantSpec(name="w4a8", weight_bits=4, activation_bits=8)`` has a scale for each output
    channel's weights, integers from -7 to 7, and activations from 0 to 255 with a zero point per tensor.

    Raises:
        UsageError: for widths or schemes that no network is quantized to.
    """

    name: str
    """As genes, profiles and facts call it."""
    weight_bits: int = _FLOAT_BITS
    """32 for float weights, else 2 to 8."""
    activation_bits: int = _FLOAT_BITS
    """32 for float activations, else 8."""
    weight_granularity: Granularity = "channel"
    """Whether each output channel or each whole tensor of weights has a scale."""
    weight_scheme: Scheme = "symmetric"
    activation_scheme: Scheme = "asymmetric"
    """With a zero point per tensor, or none."""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise UsageError(f"a precision is called {self.name!r}; give letters, digits and underscores.")
        floats = (self.weight_bits == _FLOAT_BITS, self.activation_bits == _FLOAT_BITS)
        integers = self.weight_bits in _INTEGER_BITS and self.activation_bits == 8
        if floats != (True, True) and not integers:
            raise UsageError(
                f"precision {self.name} has weights of {self.weight_bits} and activations of {self.activation_bits}"
                " bits; allowed are 32 and 32, or 2 to 8 and 8."
            )
        if self.weight_scheme != "symmetric" or self.activation_scheme != "asymmetric":
            raise UsageError(
                f"precision {self.name} has {self.weight_scheme} weights and {self.activation_scheme} activations;"
                " the integer graphs hold symmetric weights and asymmetric activations."
            )

    @property
    def quantized(self) -> bool:
        """Whether its units are integer units."""
        return self.activation_bits != _FLOAT_BITS

    @property
    def largest_weight(self) -> int:
        """The largest integer of a weight; the smallest is its opposite."""
        return (1 << (self.weight_bits - 1)) - 1

    @property
    def stored_weight_bits(self) -> Literal[4, 8, 32]:
        """Bits that graphs and packed artifacts hold a weight in."""
        if not self.quantized:
            return 32
        return 4 if self.weight_bits <= 4 else 8
