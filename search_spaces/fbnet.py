"""The FBNet space (Wu et al., CVPR 2019): 22 layers with nine candidate blocks each.

A block is an inverted residual of kernel 3 or 5, expansion 1, 3 or 6, and with
expansion 1 optionally grouped pointwise convolutions; ``skip`` is an identity, or a
pointwise convolution where width or resolution changes. Small images (CIFAR) keep the
stem and the second stage at stride 1 and have a narrower head, as in HW-NAS-Bench (Li
et al., ICLR 2021), whose operation order this is.
"""

from typing import Final, NamedTuple

import numpy as np

from search_spaces.errors import InvalidGenotypeError, UnsupportedTaskError, quoted
from search_spaces.fused_layers import FusedConvolutionShape, Size, convolution, global_pool, halved, linear
from search_spaces.inverted_residual import InvertedResidualShape
from search_spaces.operators import Operator
from search_spaces.space import BoolArray, Gene, IntArray, SearchSpace
from search_spaces.task import TaskSpec

BLOCKS: Final = ("k3_e1", "k3_e1_g2", "k3_e3", "k3_e6", "k5_e1", "k5_e1_g2", "k5_e3", "k5_e6", "skip")
"""Index order of the recorded tables."""

_CHEAPEST_FIRST: Final = ("skip", "k3_e1_g2", "k3_e1", "k5_e1_g2", "k5_e1", "k3_e3", "k5_e3", "k3_e6", "k5_e6")
_DEPTHS: Final = (1, 4, 4, 4, 4, 4, 1)
_WIDTHS: Final = (16, 24, 32, 64, 112, 184, 352)
_STRIDES: Final = (1, 2, 2, 2, 1, 2, 1)
STEM_WIDTH: Final = 16
_HEAD_WIDTH: Final = 1984
_SMALL_HEAD_WIDTH: Final = 1504
_SMALL_SIDE_PX: Final = 64


class Layer(NamedTuple):
    """The shape that all choices of a layer share; ``size`` is the input size."""

    in_channels: int
    out_channels: int
    stride: int
    size: Size

    @property
    def keeps_shape(self) -> bool:
        """Whether the output has the input's shape, so that a skip is an identity."""
        return self.stride == 1 and self.in_channels == self.out_channels


class FbnetSpace(SearchSpace):
    """FBNet bound to a task; one unit per layer."""

    name = "fbnet"

    def __init__(self, task: TaskSpec | None = None) -> None:
        """Binds the space to images and classes (published with ImageNet's).

        Raises:
            UnsupportedTaskError: if the task has no images, or a side of them is shorter than 16 pixels.
        """
        self.task = task or TaskSpec.image_classification(channels=3, height=224, width=224, classes=1000)
        self.image = self.task.image_for(self.name)
        if min(self.image.height, self.image.width) < 16:
            raise UnsupportedTaskError(
                f"fbnet needs images of at least 16 pixels per side; these are {self.image.height}x{self.image.width}."
            )
        small = min(self.image.height, self.image.width) < _SMALL_SIDE_PX
        self.stem_stride = 1 if small else 2
        self.head_width = _SMALL_HEAD_WIDTH if small else _HEAD_WIDTH
        strides = (1, 1, *_STRIDES[2:]) if small else _STRIDES
        layers: list[Layer] = []
        size = halved((self.image.height, self.image.width), self.stem_stride)
        channels = STEM_WIDTH
        for depth, width, stride in zip(_DEPTHS, _WIDTHS, strides, strict=True):
            for position in range(depth):
                step = stride if position == 0 else 1
                layers.append(Layer(channels, width, step, size))
                channels, size = width, halved(size, step)
        self.layers = tuple(layers)
        self._final_size = size
        self.genes = tuple(Gene(name=f"layer{n}", choices=_CHEAPEST_FIRST) for n in range(1, len(layers) + 1))
        self.units = ("stem", *(gene.name for gene in self.genes), "head")

    def active(self, genotypes: IntArray) -> BoolArray:
        """All genes are active."""
        return np.ones((len(genotypes), len(self.genes)), dtype=np.bool_)

    def unit_keys(self, genotypes: IntArray) -> IntArray:
        """A layer's choice; stem and head have one key."""
        keys = np.zeros((len(genotypes), len(self.units)), dtype=np.int64)
        keys[:, 1:-1] = genotypes
        return keys

    def unit_operators(self, unit: int, key: int) -> tuple[Operator, ...]:
        """The fused operators of one layer."""
        if self.units[unit] == "stem":
            size = (self.image.height, self.image.width)
            return (
                convolution(
                    FusedConvolutionShape(self.image.channels, STEM_WIDTH, kernel=3, stride=self.stem_stride), size
                ),
            )
        if self.units[unit] == "head":
            return (
                convolution(FusedConvolutionShape(_WIDTHS[-1], self.head_width), self._final_size),
                global_pool(self.head_width, self._final_size),
                linear(self.head_width, self.task.classes),
            )
        layer, block = self.layers[unit - 1], self.block(unit - 1, key)
        if block is not None:
            return tuple(block.operators())
        if layer.keeps_shape:
            return ()
        return (
            convolution(FusedConvolutionShape(layer.in_channels, layer.out_channels, stride=layer.stride), layer.size),
        )

    def block(self, position: int, choice: int) -> InvertedResidualShape | None:
        """The block that a choice selects for the layer at ``position`` (from 0); None for a skip."""
        layer, name = self.layers[position], _CHEAPEST_FIRST[choice]
        if name == "skip":
            return None
        kernel, expand, *groups = (int(part[1:]) for part in name.split("_"))
        return InvertedResidualShape(
            in_channels=layer.in_channels,
            out_channels=layer.out_channels,
            size=layer.size,
            expand=expand,
            kernel=kernel,
            stride=layer.stride,
            groups=groups[0] if groups else 1,
            always_expands=True,
        )

    def to_string(self, genotype: IntArray) -> str:
        """22 indices into :data:`BLOCKS`, for example ``7-8-1-…-5``."""
        return "-".join(str(BLOCKS.index(_CHEAPEST_FIRST[int(choice)])) for choice in self.canonical_row(genotype))

    def from_string(self, text: str) -> IntArray:
        """The genotype of 22 indices."""
        tokens = text.strip().split("-")
        if len(tokens) != len(self.genes):
            raise InvalidGenotypeError(f"{quoted(text)}: {len(tokens)} layers; fbnet has {len(self.genes)}.")
        allowed = {str(index): _CHEAPEST_FIRST.index(block) for index, block in enumerate(BLOCKS)}
        for layer, token in enumerate(tokens, start=1):
            if token not in allowed:
                raise InvalidGenotypeError(
                    f"{quoted(text)}: layer {layer} is {quoted(token)}; allowed are 0 to {len(BLOCKS) - 1}."
                )
        return np.array([allowed[token] for token in tokens], dtype=np.int64)

    def describe(self, genotype: IntArray) -> str:
        """A summary such as ``18 blocks: 16ch k3_e1 | 24ch k3_e6 skip k3_e1 k3_e1 | …``."""
        blocks = [_CHEAPEST_FIRST[int(choice)] for choice in genotype]
        stages, start = [], 0
        for depth, width in zip(_DEPTHS, _WIDTHS, strict=True):
            stages.append(f"{width}ch {' '.join(blocks[start : start + depth])}")
            start += depth
        return f"{sum(block != 'skip' for block in blocks)} blocks: " + " | ".join(stages)
