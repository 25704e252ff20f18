"""A fourth family, written as a user of hwnas would: a chain of 3x3 convolutions with elastic depth and width.

Its width is one gene for the whole network, so that no layer is sliced in one direction
only, and a training step draws the depths from the ends alone.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from nas.families.family import Family
from search_spaces.errors import UnsupportedTaskError
from search_spaces.field_strings import FieldStringSpace
from search_spaces.fused_layers import FusedConvolutionShape, conversion, convolution, global_pool, halved, linear
from search_spaces.operators import Operator
from search_spaces.precision import BITS, PRECISIONS
from search_spaces.space import BoolArray, Gene, IntArray
from search_spaces.task import TaskSpec

WIDTHS = (8, 16, 24)
DEPTHS = (1, 2, 3)
TASK = TaskSpec.image_classification(channels=1, height=28, width=28, classes=10)


class ToySpace(FieldStringSpace):
    """A strided stem, up to three layers, a classifier."""

    name = "toy:small"
    units = ("stem", "layer1", "layer2", "layer3", "head")
    genes = (
        Gene(name="width", choices=WIDTHS),
        Gene(name="depth", choices=DEPTHS),
        *(Gene(name=f"{unit}.precision", choices=PRECISIONS, part="policy") for unit in units),
    )

    def __init__(self, task: TaskSpec | None = None) -> None:
        self.task = task or TASK
        self.image = self.task.image_for(self.name)
        if min(self.image.height, self.image.width) < 8:
            raise UnsupportedTaskError("toy:small needs images of at least 8 pixels per side.")

    def _present(self, genotypes: IntArray) -> BoolArray:
        """Shape ``(n, units)``."""
        depth = np.array(DEPTHS)[genotypes[:, 1]]
        layers = [depth > position for position in range(3)]
        return np.stack([np.ones_like(layers[0]), *layers, np.ones_like(layers[0])], axis=1)

    def active(self, genotypes: IntArray) -> BoolArray:
        always = np.ones((len(genotypes), 2), dtype=np.bool_)
        return np.concatenate([always, self._present(genotypes)], axis=1)

    def unit_keys(self, genotypes: IntArray) -> IntArray:
        present = self._present(genotypes)
        keys = np.full(present.shape, -1, dtype=np.int64)
        before = np.zeros(len(genotypes), dtype=np.int64)
        for unit in range(len(self.units)):
            precision, here = genotypes[:, 2 + unit], present[:, unit]
            key = (genotypes[:, 0] * len(PRECISIONS) + precision) * len(PRECISIONS) + before
            keys[:, unit] = np.where(here, key, -1)
            before = np.where(here, precision, before)
        return keys

    def unit_operators(self, unit: int, key: int) -> tuple[Operator, ...]:
        rest, before = divmod(key, len(PRECISIONS))
        width, precision = divmod(rest, len(PRECISIONS))
        bits = (BITS[PRECISIONS[precision]], BITS[PRECISIONS[before]])
        return tuple(self._operators(self.units[unit], WIDTHS[width], *bits))

    def _operators(self, unit: str, width: int, bits: int, before: int) -> Iterator[Operator]:
        image = (self.image.height, self.image.width)
        size = image if unit == "stem" else halved(image, 2)
        yield from conversion(before, bits, self.image.channels if unit == "stem" else width, size)
        if unit == "head":
            yield global_pool(width, size, bits=bits)
            yield linear(width, self.task.classes, bits=bits)
            yield from conversion(bits, 32, self.task.classes, (1, 1))
        elif unit == "stem":
            yield convolution(FusedConvolutionShape(self.image.channels, width, kernel=3, stride=2), size, bits=bits)
        else:
            yield convolution(FusedConvolutionShape(width, width, kernel=3), size, bits=bits)

    def fields(self) -> Mapping[str, tuple[str, ...]]:
        return {"w": ("width",), "d": ("depth",), "q": tuple(f"{unit}.precision" for unit in self.units)}

    def describe(self, genotype: IntArray) -> str:
        return f"{WIDTHS[genotype[0]]}ch, {DEPTHS[genotype[1]]} layers"


class ToyFamily(Family):
    """Registered in ``entry_points.txt`` as ``toy = hwnas_toy:ToyFamily``."""

    name = "toy"
    spaces = {"toy:small": ToySpace}  # noqa: RUF012 - as a user would

    def supernet(self, space, *, seed=0):
        from hwnas_toy_networks import ToySupernet  # noqa: PLC0415 - torch takes seconds

        return ToySupernet(space, seed=seed)

    def network(self, space, genotype):
        from hwnas_toy_networks import ToyNetwork  # noqa: PLC0415 - torch takes seconds

        return ToyNetwork(space, genotype)

    def training_genotype(self, space, rng):
        genotype = space.sample(1, rng)[0]
        genotype[1] = rng.choice((0, len(DEPTHS) - 1))
        return space.canonical_row(genotype)
