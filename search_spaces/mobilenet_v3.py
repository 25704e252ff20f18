"""MobileNetV3 spaces with elastic kernel, expand ratio, depth, width and resolution.

The layout is the one of Once-for-All's MobileNetV3 (Cai et al., ICLR 2020): a strided
stem, one fixed depthwise-separable block, stages of inverted bottlenecks, a final
expansion, pooling, a feature layer and a classifier. Width, squeeze-excite and the
activation are genes of a stage where its configuration offers more than one choice.
The network takes images in their own size and scales them itself (the resolution
gene), so that an exported file needs no preparation beyond normalization.
"""

import itertools
import operator
from collections.abc import Iterator
from functools import cache, cached_property, partial
from typing import Final, NamedTuple

import numpy as np

from search_spaces.errors import UnsupportedTaskError
from search_spaces.field_strings import FieldStringSpace
from search_spaces.fused_layers import (
    ConvolutionShape,
    conversion,
    convolution,
    elementwise,
    global_pool,
    halved,
    linear,
    resize,
)
from search_spaces.mobilenet_v3_config import IMAGENET, TINY, MobileNetV3Config, squeeze_width
from search_spaces.operators import Activation, Operator
from search_spaces.precision import BITS, PRECISIONS
from search_spaces.resolutions import scaled_sizes
from search_spaces.space import BoolArray, Gene, IntArray, SpaceFactory
from search_spaces.task import ImageTask
from search_spaces.widths import round_width


class BlockShape(NamedTuple):
    """The shape of one inverted bottleneck; sizes in channels and pixels."""

    in_width: int
    hidden_width: int
    out_width: int
    kernel: int
    stride: int
    squeeze_excite: bool
    activation: Activation
    skip: bool
    expands: bool


class NetworkShape(NamedTuple):
    """A genotype decoded into the sizes needed to build the network.

    ``block_units`` names the unit of each active block.
    """

    resolution: tuple[int, int]
    stem_width: int
    blocks: tuple[BlockShape, ...]
    block_units: tuple[str, ...]
    final_width: int
    feature_width: int


class _Block(NamedTuple):
    """The position of a searchable block."""

    stage: int
    position: int


class MobileNetV3Space(FieldStringSpace):
    """One MobileNetV3 space bound to a task."""

    def __init__(self, config: MobileNetV3Config, task: ImageTask | None = None) -> None:
        """Binds a configuration to images and classes.

        Raises:
            UnsupportedTaskError: where the images are smaller than the space can take.
        """
        self.config = config
        self.task = task or config.default_task
        self.name = config.name
        if min(self.task.height, self.task.width) < config.min_side_px:
            raise UnsupportedTaskError(
                f"{config.name} needs images of at least {config.min_side_px} pixels per side;"
                f" these are {self.task.height}x{self.task.width}. Scale them up or choose a smaller space."
            )
        self.resolutions = scaled_sizes(self.task, config.resolution_scales, config.resolution_step_px)
        self._blocks = tuple(
            _Block(stage, position)
            for stage, choices in enumerate(config.stages)
            for position in range(max(choices.depths))
        )
        self.units = ("stem", "first", *(self._block_name(b) for b in self._blocks), "head")
        self.genes = tuple(self._make_genes())
        self._column = {gene.name: column for column, gene in enumerate(self.genes)}

    @property
    def configuration(self) -> str:
        """See :attr:`SearchSpace.configuration`."""
        return repr(self.config)

    # --- genes -------------------------------------------------------------------

    @staticmethod
    def _block_name(block: _Block) -> str:
        return f"stage{block.stage + 1}.block{block.position + 1}"

    def _make_genes(self) -> Iterator[Gene]:
        yield Gene(name="resolution", choices=tuple(f"{h}x{w}" for h, w in self.resolutions))
        for number, stage in enumerate(self.config.stages, start=1):
            yield Gene(name=f"stage{number}.depth", choices=stage.depths)
            yield Gene(name=f"stage{number}.width", choices=stage.widths)
            yield Gene(name=f"stage{number}.squeeze_excite", choices=stage.squeeze_excite)
            yield Gene(name=f"stage{number}.activation", choices=stage.activations)
        for block in self._blocks:
            yield Gene(name=f"{self._block_name(block)}.kernel", choices=self.config.kernels)
            yield Gene(name=f"{self._block_name(block)}.expand", choices=self.config.expand_ratios)
        for unit in self.units:
            yield Gene(name=f"{unit}.precision", choices=PRECISIONS, part="policy")

    def _block_active(self, genotypes: IntArray) -> BoolArray:
        """Shape ``(n, blocks)``."""
        columns = []
        for block in self._blocks:
            depths = np.array(self.config.stages[block.stage].depths)
            depth = depths[genotypes[:, self._column[f"stage{block.stage + 1}.depth"]]]
            columns.append(depth > block.position)
        return np.stack(columns, axis=1)

    def active(self, genotypes: IntArray) -> BoolArray:
        """Active genes, shape ``(n, genes)``: all but those of absent blocks."""
        mask = np.ones((len(genotypes), len(self.genes)), dtype=np.bool_)
        present = self._block_active(genotypes)
        for index, block in enumerate(self._blocks):
            for gene in ("kernel", "expand", "precision"):
                mask[:, self._column[f"{self._block_name(block)}.{gene}"]] = present[:, index]
        return mask

    # --- units and their operators -------------------------------------------------

    @cache  # noqa: B019 - one small table for the life of a space
    def _radices(self, unit: int) -> tuple[int, ...]:
        resolutions, precisions = len(self.resolutions), (len(PRECISIONS), len(PRECISIONS))
        if self.units[unit] in ("stem", "first"):
            return (resolutions, *precisions)
        if self.units[unit] == "head":
            return (resolutions, len(self.config.stages[-1].widths), *precisions)
        block = self._blocks[unit - 2]
        stage = self.config.stages[block.stage]
        before = self.config.stages[block.stage - 1].widths if block.position == 0 and block.stage else (0,)
        return (
            resolutions,
            len(before),
            len(stage.widths),
            len(self.config.kernels),
            len(self.config.expand_ratios),
            len(stage.squeeze_excite),
            len(stage.activations),
            *precisions,
        )

    def unit_keys(self, genotypes: IntArray) -> IntArray:
        """Each unit's key, shape ``(n, units)``.

        The precision of the unit before is part of a key, since a change of precision
        costs a conversion.
        """
        present = self._block_active(genotypes)
        keys = np.full((len(genotypes), len(self.units)), -1, dtype=np.int64)
        resolution = genotypes[:, 0]
        zero = np.zeros(len(genotypes), dtype=np.int64)
        before: IntArray = zero
        parts: tuple[IntArray, ...]
        for unit, name in enumerate(self.units):
            precision = genotypes[:, self._column[f"{name}.precision"]]
            if name in ("stem", "first"):
                parts = (resolution, precision, before)
            elif name == "head":
                width = genotypes[:, self._column[f"stage{len(self.config.stages)}.width"]]
                parts = (resolution, width, precision, before)
            else:
                block = self._blocks[unit - 2]
                stage = f"stage{block.stage + 1}"
                first_of_later_stage = block.position == 0 and block.stage > 0
                parts = (
                    resolution,
                    genotypes[:, self._column[f"stage{block.stage}.width"]] if first_of_later_stage else zero,
                    genotypes[:, self._column[f"{stage}.width"]],
                    genotypes[:, self._column[f"{name}.kernel"]],
                    genotypes[:, self._column[f"{name}.expand"]],
                    genotypes[:, self._column[f"{stage}.squeeze_excite"]],
                    genotypes[:, self._column[f"{stage}.activation"]],
                    precision,
                    before,
                )
            key = np.ravel_multi_index(parts, self._radices(unit)).astype(np.int64)
            here = present[:, unit - 2] if 2 <= unit < len(self.units) - 1 else np.ones_like(zero, dtype=np.bool_)
            keys[:, unit] = np.where(here, key, -1)
            before = np.where(here, precision, before)
        return keys

    def unit_operators(self, unit: int, key: int) -> tuple[Operator, ...]:
        """The fused operators of one unit in one configuration."""
        parts = [int(v) for v in np.unravel_index(key, self._radices(unit))]
        name = self.units[unit]
        bits, before = (BITS[PRECISIONS[p]] for p in parts[-2:])
        size = self._input_size(unit, self.resolutions[parts[0]])
        if name == "stem":
            return tuple(self._stem_operators(size, bits))
        if name == "head":
            return tuple(self._head_operators(size, self.config.stages[-1].widths[parts[1]], bits, before))
        if name == "first":
            shape = self.first_block
        else:
            block = self._blocks[unit - 2]
            shape = self._block_shape(block, *parts[1:7])
        return tuple(self._block_operators(size, shape, bits, before))

    def _input_size(self, unit: int, resolution: tuple[int, int]) -> tuple[int, int]:
        """Height and width of a unit's input (for the stem, after resizing)."""
        return halved(resolution, self._total_strides[unit])

    @cached_property
    def _total_strides(self) -> tuple[int, ...]:
        """Total stride of the units before each unit."""
        return (1, *itertools.accumulate((2, 1, *(self._stride(block) for block in self._blocks)), operator.mul))

    def _stride(self, block: _Block) -> int:
        return self.config.stages[block.stage].stride if block.position == 0 else 1

    @property
    def first_block(self) -> BlockShape:
        """The fixed block after the stem: depthwise and projection, without expansion."""
        return BlockShape(
            in_width=self.config.stem_width,
            hidden_width=self.config.stem_width,
            out_width=self.config.first_width,
            kernel=3,
            stride=1,
            squeeze_excite=False,
            activation="relu",
            skip=self.config.stem_width == self.config.first_width,
            expands=False,
        )

    def _block_shape(
        self, block: _Block, before: int, width: int, kernel: int, expand: int, squeeze: int, activation: int
    ) -> BlockShape:
        stage = self.config.stages[block.stage]
        out_width = stage.widths[width]
        if block.position:
            in_width = out_width
        elif block.stage:
            in_width = self.config.stages[block.stage - 1].widths[before]
        else:
            in_width = self.config.first_width
        return BlockShape(
            in_width=in_width,
            hidden_width=round_width(in_width * self.config.expand_ratios[expand]),
            out_width=out_width,
            kernel=self.config.kernels[kernel],
            stride=self._stride(block),
            squeeze_excite=stage.squeeze_excite[squeeze],
            activation=stage.activations[activation],
            skip=block.position > 0,
            expands=True,
        )

    def _stem_operators(self, size: tuple[int, int], bits: int) -> Iterator[Operator]:
        task = self.task
        if size != (task.height, task.width):
            yield resize(task.channels, (task.height, task.width), size)
        yield from conversion(32, bits, task.channels, size)
        yield convolution(
            ConvolutionShape(task.channels, self.config.stem_width, kernel=3, stride=2),
            size,
            bits=bits,
            activation="hard_swish",
        )

    def _block_operators(self, size: tuple[int, int], shape: BlockShape, bits: int, before: int) -> Iterator[Operator]:
        hidden, out_size = shape.hidden_width, halved(size, shape.stride)
        yield from conversion(before, bits, shape.in_width, size)
        if shape.expands:
            yield convolution(ConvolutionShape(shape.in_width, hidden), size, bits=bits, activation=shape.activation)
        yield convolution(
            ConvolutionShape(hidden, hidden, kernel=shape.kernel, stride=shape.stride, groups=hidden),
            size,
            bits=bits,
            activation=shape.activation,
        )
        if shape.squeeze_excite:
            yield global_pool(hidden, out_size, bits=bits)
            yield linear(hidden, squeeze_width(hidden), "relu", bits=bits)
            yield linear(squeeze_width(hidden), hidden, "hard_sigmoid", bits=bits)
            yield elementwise(hidden, out_size, bits=bits)
        yield convolution(
            ConvolutionShape(hidden, shape.out_width), out_size, bits=bits, activation="none", residual=shape.skip
        )

    def _head_operators(self, size: tuple[int, int], width: int, bits: int, before: int) -> Iterator[Operator]:
        config = self.config
        yield from conversion(before, bits, width, size)
        yield convolution(ConvolutionShape(width, config.final_width), size, bits=bits, activation="hard_swish")
        yield global_pool(config.final_width, size, bits=bits)
        yield linear(config.final_width, config.feature_width, "hard_swish", bits=bits)
        yield linear(config.feature_width, self.task.classes, bits=bits)
        yield from conversion(bits, 32, self.task.classes, (1, 1))

    # --- decoded shapes ------------------------------------------------------------

    def network_shape(self, genotype: IntArray) -> NetworkShape:
        """Decodes one genotype, shape ``(genes,)``, into the sizes that build its network."""
        canonical = self.canonicalize(genotype[None])
        keys = self.unit_keys(canonical)[0]
        blocks: list[BlockShape] = [self.first_block]
        names = ["first"]
        for index, block in enumerate(self._blocks):
            key = int(keys[index + 2])
            if key >= 0:
                parts = [int(v) for v in np.unravel_index(key, self._radices(index + 2))]
                blocks.append(self._block_shape(block, *parts[1:7]))
                names.append(self._block_name(block))
        return NetworkShape(
            resolution=self.resolutions[int(canonical[0, 0])],
            stem_width=self.config.stem_width,
            blocks=tuple(blocks),
            block_units=tuple(names),
            final_width=self.config.final_width,
            feature_width=self.config.feature_width,
        )

    # --- texts ---------------------------------------------------------------------

    def fields(self) -> dict[str, tuple[str, ...]]:
        """Gene names by field letter, in the order of the published tables."""
        stages = [f"stage{number}" for number in range(1, len(self.config.stages) + 1)]
        blocks = [self._block_name(block) for block in self._blocks]
        return {
            "ks": tuple(f"{block}.kernel" for block in blocks),
            "e": tuple(f"{block}.expand" for block in blocks),
            "d": tuple(f"{stage}.depth" for stage in stages),
            "w": tuple(f"{stage}.width" for stage in stages),
            "se": tuple(f"{stage}.squeeze_excite" for stage in stages),
            "a": tuple(f"{stage}.activation" for stage in stages),
            "r": ("resolution",),
            "q": tuple(f"{unit}.precision" for unit in self.units),
        }

    def describe(self, genotype: IntArray) -> str:
        """A summary such as ``24px, 6 blocks: 24ch k5 e3 | 40ch k3-7 e2-4 hs | 80ch k3 e4 se``."""
        shape = self.network_shape(genotype)
        stages = []
        for number in range(1, len(self.config.stages) + 1):
            blocks = [
                b for b, n in zip(shape.blocks, shape.block_units, strict=True) if n.startswith(f"stage{number}.")
            ]
            kernels = "-".join(str(b.kernel) for b in blocks)
            ratios = "-".join(f"{b.hidden_width / b.in_width:.2g}" for b in blocks)
            marks = (" se" if blocks[0].squeeze_excite else "") + (
                " hs" if blocks[0].activation == "hard_swish" else ""
            )
            stages.append(f"{blocks[0].out_width}ch k{kernels} e{ratios}{marks}")
        height, width = shape.resolution
        side = f"{height}px" if height == width else f"{height}x{width}px"
        return f"{side}, {len(shape.blocks) - 1} blocks: " + " | ".join(stages)


SPACES: Final[dict[str, SpaceFactory]] = {config.name: partial(MobileNetV3Space, config) for config in (TINY, IMAGENET)}
"""By name."""
