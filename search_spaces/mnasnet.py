"""The MnasNet space as Accel-NASBench records it (Ahmad et al., 2024; Tan et al., CVPR 2019).

Seven stages of inverted residuals with the widths and strides of the MnasNet and
EfficientNet-B0 family; each stage chooses its expansion, kernel, number of layers (the
sixth up to four) and whether blocks have squeeze-excite, over a quarter of a block's
input width. EfficientNet-B0's own layout is a member.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from search_spaces.errors import InvalidGenotypeError, UnsupportedTaskError, quoted
from search_spaces.fused_layers import FusedConvolutionShape, Size, convolution, global_pool, halved, linear
from search_spaces.inverted_residual import InvertedResidualShape
from search_spaces.operators import Operator
from search_spaces.space import BoolArray, Gene, IntArray, SearchSpace
from search_spaces.task import TaskSpec

_WIDTHS: Final = (16, 24, 40, 80, 112, 192, 320)
_STRIDES: Final = (1, 2, 2, 2, 1, 2, 1)
STEM_WIDTH: Final = 32
HEAD_WIDTH: Final = 1280
_CHOICES: Final[dict[str, tuple[tuple[int, ...], ...]]] = {
    "e": ((1, 4, 6),) * 7,
    "k": ((3, 5),) * 7,
    "l": (*((1, 2, 3),) * 5, (1, 2, 3, 4), (1, 2, 3)),
    "se": ((0, 1),) * 7,
}
"""Choices of each stage by field letter."""

_RADICES: Final = tuple(max(len(choices) for choices in stages) for stages in _CHOICES.values())
_NAMES: Final = {"e": "expand", "k": "kernel", "l": "layers", "se": "squeeze_excite"}
_MIN_SIDE_PX: Final = 32


class _Stage(NamedTuple):
    in_channels: int
    out_channels: int
    stride: int
    size: Size


class MnasnetSpace(SearchSpace):
    """MnasNet bound to a task; one unit per stage."""

    name = "mnasnet"

    def __init__(self, task: TaskSpec | None = None) -> None:
        """Binds the space to images and classes (published with ImageNet's).

        Raises:
            UnsupportedTaskError: if the task has no images, or a side of them is shorter than 32 pixels.
        """
        self.task = task or TaskSpec.image_classification(channels=3, height=224, width=224, classes=1000)
        self.image = self.task.image_for(self.name)
        if min(self.image.height, self.image.width) < _MIN_SIDE_PX:
            raise UnsupportedTaskError(
                f"mnasnet needs images of at least {_MIN_SIDE_PX} pixels per side;"
                f" these are {self.image.height}x{self.image.width}."
            )
        stages: list[_Stage] = []
        channels, size = STEM_WIDTH, halved((self.image.height, self.image.width), 2)
        for width, stride in zip(_WIDTHS, _STRIDES, strict=True):
            stages.append(_Stage(channels, width, stride, size))
            channels, size = width, halved(size, stride)
        self._stages, self._final_size = tuple(stages), size
        self.genes = tuple(
            Gene(name=f"stage{stage}.{_NAMES[letter]}", choices=choices)
            for letter, stages_choices in _CHOICES.items()
            for stage, choices in enumerate(stages_choices, start=1)
        )
        self.units = ("stem", *(f"stage{stage}" for stage in range(1, len(_WIDTHS) + 1)), "head")

    def active(self, genotypes: IntArray) -> BoolArray:
        """All genes are active: each stage has at least one layer."""
        return np.ones((len(genotypes), len(self.genes)), dtype=np.bool_)

    def unit_keys(self, genotypes: IntArray) -> IntArray:
        """A stage's four choices packed into one integer."""
        keys = np.zeros((len(genotypes), len(self.units)), dtype=np.int64)
        by_letter = genotypes.reshape(len(genotypes), len(_CHOICES), len(_WIDTHS))
        keys[:, 1:-1] = np.ravel_multi_index(tuple(by_letter.transpose(1, 0, 2)), _RADICES)
        return keys

    def unit_operators(self, unit: int, key: int) -> tuple[Operator, ...]:
        """The fused operators of one stage."""
        if self.units[unit] == "stem":
            size = (self.image.height, self.image.width)
            return (convolution(FusedConvolutionShape(self.image.channels, STEM_WIDTH, kernel=3, stride=2), size),)
        if self.units[unit] == "head":
            return (
                convolution(FusedConvolutionShape(_WIDTHS[-1], HEAD_WIDTH), self._final_size),
                global_pool(HEAD_WIDTH, self._final_size),
                linear(HEAD_WIDTH, self.task.classes),
            )
        return tuple(operator for block in self.blocks(unit - 1, key) for operator in block.operators())

    def blocks(self, position: int, key: int) -> Iterator[InvertedResidualShape]:
        """The blocks of the stage at ``position`` (from 0) for a unit key, in order."""
        parts = np.unravel_index(key, _RADICES)
        stages = _CHOICES.values()
        expand, kernel, layers, squeeze = (
            choices[position][int(part)] for choices, part in zip(stages, parts, strict=True)
        )
        stage = self._stages[position]
        channels, size = stage.in_channels, stage.size
        for layer in range(layers):
            stride = stage.stride if layer == 0 else 1
            yield InvertedResidualShape(
                in_channels=channels,
                out_channels=stage.out_channels,
                size=size,
                expand=expand,
                kernel=kernel,
                stride=stride,
                squeezed=max(1, channels // 4) if squeeze else 0,
            )
            channels, size = stage.out_channels, halved(size, stride)

    def to_string(self, genotype: IntArray) -> str:
        """``e=…;k=…;l=…;se=…`` with seven values each."""
        rows = self.canonical_row(genotype).reshape(len(_CHOICES), len(_WIDTHS))
        return ";".join(
            f"{letter}={'-'.join(str(choices[int(c)]) for choices, c in zip(stages, row, strict=True))}"
            for (letter, stages), row in zip(_CHOICES.items(), rows, strict=True)
        )

    def from_string(self, text: str) -> IntArray:
        """The genotype of a canonical string; its four fields may come in any order."""
        fields: dict[str, list[str]] = {}
        for part in text.strip().split(";"):
            letter, _, body = part.partition("=")
            if letter not in _CHOICES or letter in fields:
                raise InvalidGenotypeError(f"{quoted(text)}: field {quoted(part)} is unknown or repeated in mnasnet.")
            fields[letter] = body.split("-")
        genotype = []
        for letter, stages in _CHOICES.items():
            tokens = fields.get(letter, [])
            if len(tokens) != len(_WIDTHS):
                raise InvalidGenotypeError(
                    f"{quoted(text)}: field {letter!r} has {len(tokens)} values; mnasnet takes {len(_WIDTHS)}."
                )
            for stage, (choices, token) in enumerate(zip(stages, tokens, strict=True), start=1):
                allowed = {str(value): index for index, value in enumerate(choices)}
                if token not in allowed:
                    raise InvalidGenotypeError(
                        f"{quoted(text)}: {letter} of stage {stage} is {quoted(token)}; allowed are {list(allowed)}."
                    )
                genotype.append(allowed[token])
        return np.array(genotype, dtype=np.int64)

    def describe(self, genotype: IntArray) -> str:
        """A summary such as ``12 blocks: 16ch e1 k3 x1 | 24ch e6 k5 x2 se | …``."""
        values = self.values(self.canonical_row(genotype))
        stages = []
        for number, width in enumerate(_WIDTHS, start=1):
            expand, kernel, layers, squeeze = (values[f"stage{number}.{name}"] for name in _NAMES.values())
            stages.append(f"{width}ch e{expand} k{kernel} x{layers}{' se' if squeeze else ''}")
        blocks = sum(int(values[f"stage{number}.layers"]) for number in range(1, len(_WIDTHS) + 1))
        return f"{blocks} blocks: " + " | ".join(stages)
