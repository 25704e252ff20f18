"""ResNet spaces with elastic depth, width, inner width (expand ratio) and resolution.

The layout is that of He et al. (CVPR 2016), with the changes of ResNet-D (He et al., CVPR
2019) where a configuration asks for them: a stem, stages of residual blocks whose first
one has a convolution in its shortcut, pooling and a classifier. As in
:mod:`search_spaces.mobilenet_v3`, the network scales its images itself.
"""

import itertools
import operator
from collections.abc import Iterator
from functools import cached_property, partial
from typing import Final, NamedTuple

import numpy as np

from search_spaces.errors import UnsupportedTaskError
from search_spaces.field_strings import FieldStringSpace
from search_spaces.fused_layers import (
    ConvolutionShape,
    Size,
    conversion,
    convolution,
    global_pool,
    halved,
    linear,
    pool,
    resize,
)
from search_spaces.operators import Operator
from search_spaces.precision import BITS, PRECISIONS
from search_spaces.resnet_config import IMAGENET, TINY, BlockKind, ResNetConfig
from search_spaces.resolutions import scaled_sizes
from search_spaces.space import BoolArray, Gene, IntArray, SpaceFactory
from search_spaces.task import ImageTask
from search_spaces.widths import round_width


class StemShape(NamedTuple):
    """The shape of a stem; ``mid_width`` is 0 for a single convolution."""

    width: int
    mid_width: int = 0
    residual: bool = False
    """Whether the deep stem has its second convolution."""

    @property
    def stride(self) -> int:
        """Total stride, pooling included."""
        return 4 if self.mid_width else 2


class BlockShape(NamedTuple):
    """The shape of one residual block; widths in channels."""

    kind: BlockKind
    in_width: int
    mid_width: int
    out_width: int
    stride: int
    projects: bool
    """Whether the shortcut has a convolution."""
    pools: bool
    """Whether it averages pixels first."""

    @property
    def convolutions(self) -> tuple[ConvolutionShape, ...]:
        """Of the residual branch, in order."""
        if self.kind == "basic":
            return (
                ConvolutionShape(self.in_width, self.mid_width, kernel=3, stride=self.stride),
                ConvolutionShape(self.mid_width, self.out_width, kernel=3),
            )
        return (
            ConvolutionShape(self.in_width, self.mid_width),
            ConvolutionShape(self.mid_width, self.mid_width, kernel=3, stride=self.stride),
            ConvolutionShape(self.mid_width, self.out_width),
        )

    @property
    def shortcut_stride(self) -> int:
        """Of the shortcut's convolution."""
        return 1 if self.pools else self.stride


class NetworkShape(NamedTuple):
    """A genotype decoded into the sizes needed to build the network.

    ``block_units`` names the unit of each present block.
    """

    resolution: Size
    stem: StemShape
    blocks: tuple[BlockShape, ...]
    block_units: tuple[str, ...]


class _Block(NamedTuple):
    """The position of a searchable block."""

    stage: int
    position: int


class ResNetSpace(FieldStringSpace):
    """One ResNet space bound to a task."""

    def __init__(self, config: ResNetConfig, task: ImageTask | None = None) -> None:
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
        self.units = ("stem", *(_unit(block) for block in self._blocks), "head")
        self.genes = tuple(self._make_genes())

    @property
    def configuration(self) -> str:
        """See :attr:`SearchSpace.configuration`."""
        return repr(self.config)

    # --- genes -------------------------------------------------------------------

    def _make_genes(self) -> Iterator[Gene]:
        yield Gene(name="resolution", choices=tuple(f"{h}x{w}" for h, w in self.resolutions))
        if self.config.stem_mid_widths:
            yield Gene(name="stem.residual", choices=(False, True))
            yield Gene(name="stem.mid_width", choices=self.config.stem_mid_widths)
        yield Gene(name="stem.width", choices=self.config.stem_widths)
        for number, stage in enumerate(self.config.stages, start=1):
            yield Gene(name=f"stage{number}.depth", choices=stage.depths)
            yield Gene(name=f"stage{number}.width", choices=stage.widths)
        for block in self._blocks:
            yield Gene(name=f"{_unit(block)}.expand", choices=self.config.expand_ratios)
        for unit in self.units:
            yield Gene(name=f"{unit}.precision", choices=PRECISIONS, part="policy")

    def active(self, genotypes: IntArray) -> BoolArray:
        """Active genes, shape ``(n, genes)``: all but those of absent blocks."""
        mask = np.ones((len(genotypes), len(self.genes)), dtype=np.bool_)
        for block in self._blocks:
            depths = np.array(self.config.stages[block.stage].depths)
            present = depths[self._choices(genotypes, f"stage{block.stage + 1}.depth")] > block.position
            for gene in ("expand", "precision"):
                mask[:, self.gene_index[f"{_unit(block)}.{gene}"]] = present
        return mask

    def _choices(self, genotypes: IntArray, gene: str) -> IntArray:
        """A gene's column, shape ``(n,)``."""
        column: IntArray = genotypes[:, self.gene_index[gene]]
        return column

    # --- units and their operators -------------------------------------------------

    @cached_property
    def _key_genes(self) -> tuple[tuple[str, ...], ...]:
        """The genes that each unit's sizes depend on."""
        stem = ("stem.residual", "stem.mid_width", "stem.width") if self.config.stem_mid_widths else ("stem.width",)
        blocks = []
        for block in self._blocks:
            name = f"stage{block.stage + 1}.width"
            before = f"stage{block.stage}.width" if block.stage else "stem.width"
            widths = (name,) if block.position else (before, name)
            blocks.append((*widths, f"{_unit(block)}.expand"))
        head = (f"stage{len(self.config.stages)}.width",)
        return tuple(("resolution", *genes) for genes in (stem, *blocks, head))

    @cached_property
    def _radices(self) -> tuple[tuple[int, ...], ...]:
        """Choices of each unit's genes, then of its precision and of the one before it."""
        sizes = [[int(self.cardinalities[self.gene_index[name]]) for name in names] for names in self._key_genes]
        return tuple((*of_unit, len(PRECISIONS), len(PRECISIONS)) for of_unit in sizes)

    def unit_keys(self, genotypes: IntArray) -> IntArray:
        """Each unit's key, shape ``(n, units)``.

        The precision of the unit before is part of a key, since a change of precision
        costs a conversion.
        """
        active = self.active(genotypes)
        keys = np.full((len(genotypes), len(self.units)), -1, dtype=np.int64)
        before: IntArray = np.zeros(len(genotypes), dtype=np.int64)
        for unit, name in enumerate(self.units):
            precision = self._choices(genotypes, f"{name}.precision")
            parts = (*(self._choices(genotypes, gene) for gene in self._key_genes[unit]), precision, before)
            here = active[:, self.gene_index[f"{name}.precision"]]
            keys[:, unit] = np.where(here, np.ravel_multi_index(parts, self._radices[unit]), -1)
            before = np.where(here, precision, before)
        return keys

    def unit_operators(self, unit: int, key: int) -> tuple[Operator, ...]:
        """The fused operators of one unit in one configuration."""
        *parts, precision, before = (int(v) for v in np.unravel_index(key, self._radices[unit]))
        size = halved(self.resolutions[parts[0]], self._total_strides[unit])
        bits, bits_before = (BITS[PRECISIONS[choice]] for choice in (precision, before))
        if self.units[unit] == "stem":
            return tuple(self._stem_operators(size, self._stem_shape(parts), bits))
        if self.units[unit] == "head":
            return tuple(self._head_operators(size, self.config.stages[-1].widths[parts[1]], bits, bits_before))
        shape = self._block_shape(self._blocks[unit - 1], parts)
        return tuple(_block_operators(size, shape, bits, bits_before))

    @cached_property
    def _total_strides(self) -> tuple[int, ...]:
        """Total stride of the units before each unit."""
        stem = 4 if self.config.stem_mid_widths else 2
        strides = (stem, *(self._stride(block) for block in self._blocks))
        return (1, *itertools.accumulate(strides, operator.mul))

    def _stride(self, block: _Block) -> int:
        return self.config.stages[block.stage].stride if block.position == 0 else 1

    def _stem_shape(self, parts: list[int]) -> StemShape:
        """Of the choices of the unit's genes."""
        width = self.config.stem_widths[parts[-1]]
        if not self.config.stem_mid_widths:
            return StemShape(width=width)
        return StemShape(width=width, mid_width=self.config.stem_mid_widths[parts[2]], residual=bool(parts[1]))

    def _block_shape(self, block: _Block, parts: list[int]) -> BlockShape:
        """Of the choices of the unit's genes."""
        _, *widths, expand = parts
        config, stage = self.config, self.config.stages[block.stage]
        out_width, stride = stage.widths[widths[-1]], self._stride(block)
        in_widths = stage.widths if block.position else config.stem_widths
        if block.stage and not block.position:
            in_widths = config.stages[block.stage - 1].widths
        return BlockShape(
            kind=config.block,
            in_width=in_widths[widths[0]],
            mid_width=round_width(round(out_width * config.expand_ratios[expand])),
            out_width=out_width,
            stride=stride,
            projects=block.position == 0,
            pools=config.pooled_shortcuts and stride > 1,
        )

    def _stem_operators(self, size: Size, shape: StemShape, bits: int) -> Iterator[Operator]:
        task = self.task
        if size != (task.height, task.width):
            yield resize(task.channels, (task.height, task.width), size)
        yield from conversion(32, bits, task.channels, size)
        if not shape.mid_width:
            yield convolution(ConvolutionShape(task.channels, shape.width, kernel=3, stride=2), size, bits=bits)
            return
        mid, inner = shape.mid_width, halved(size, 2)
        yield convolution(ConvolutionShape(task.channels, mid, kernel=3, stride=2), size, bits=bits)
        if shape.residual:
            yield convolution(ConvolutionShape(mid, mid, kernel=3), inner, bits=bits, residual=True)
        yield convolution(ConvolutionShape(mid, shape.width, kernel=3), inner, bits=bits)
        yield pool(shape.width, inner, kernel=3, stride=2, bits=bits)

    def _head_operators(self, size: Size, width: int, bits: int, before: int) -> Iterator[Operator]:
        yield from conversion(before, bits, width, size)
        yield global_pool(width, size, bits=bits)
        yield linear(width, self.task.classes, bits=bits)
        yield from conversion(bits, 32, self.task.classes, (1, 1))

    # --- decoded shapes ------------------------------------------------------------

    def network_shape(self, genotype: IntArray) -> NetworkShape:
        """Decodes one genotype, shape ``(genes,)``, into the sizes that build its network."""
        canonical = self.canonicalize(genotype[None])
        keys = self.unit_keys(canonical)[0].tolist()
        parts = [
            [int(v) for v in np.unravel_index(key, radices)[:-2]] if key >= 0 else []
            for key, radices in zip(keys, self._radices, strict=True)
        ]
        present = [(block, found) for block, found in zip(self._blocks, parts[1:-1], strict=True) if found]
        return NetworkShape(
            resolution=self.resolutions[parts[0][0]],
            stem=self._stem_shape(parts[0]),
            blocks=tuple(self._block_shape(block, found) for block, found in present),
            block_units=tuple(_unit(block) for block, _ in present),
        )

    # --- texts ---------------------------------------------------------------------

    def fields(self) -> dict[str, tuple[str, ...]]:
        """Gene names by field letter; depths and widths in the order of the published code."""
        stages = [f"stage{number}" for number in range(1, len(self.config.stages) + 1)]
        deep = bool(self.config.stem_mid_widths)
        return {
            "d": (*(("stem.residual",) if deep else ()), *(f"{stage}.depth" for stage in stages)),
            "e": tuple(f"{_unit(block)}.expand" for block in self._blocks),
            "w": (
                *(("stem.mid_width",) if deep else ()),
                "stem.width",
                *(f"{stage}.width" for stage in stages),
            ),
            "r": ("resolution",),
            "q": tuple(f"{unit}.precision" for unit in self.units),
        }

    def describe(self, genotype: IntArray) -> str:
        """A summary such as ``28px, stem 16ch, 6 blocks: 24ch e1-0.5 | 48ch e0.75 | 96ch e1-1-0.5``."""
        shape = self.network_shape(genotype)
        values = self.values(self.canonical_row(genotype))
        stages = []
        for number in range(1, len(self.config.stages) + 1):
            units = [unit for unit in shape.block_units if unit.startswith(f"stage{number}.")]
            ratios = "-".join(str(values[f"{unit}.expand"]).removesuffix(".0") for unit in units)
            stages.append(f"{values[f'stage{number}.width']}ch e{ratios}")
        height, width = shape.resolution
        side = f"{height}px" if height == width else f"{height}x{width}px"
        stem = f"{shape.stem.mid_width}-{shape.stem.width}" if shape.stem.mid_width else str(shape.stem.width)
        extra = "+1" if shape.stem.residual else ""
        return f"{side}, stem {stem}ch{extra}, {len(shape.blocks)} blocks: " + " | ".join(stages)


def _unit(block: _Block) -> str:
    return f"stage{block.stage + 1}.block{block.position + 1}"


def _block_operators(size: Size, shape: BlockShape, bits: int, before: int) -> Iterator[Operator]:
    yield from conversion(before, bits, shape.in_width, size)
    if shape.projects:
        shortcut_size = halved(size, shape.stride) if shape.pools else size
        if shape.pools:
            yield pool(shape.in_width, size, kernel=shape.stride, stride=shape.stride, bits=bits)
        shortcut = ConvolutionShape(shape.in_width, shape.out_width, stride=shape.shortcut_stride)
        yield convolution(shortcut, shortcut_size, activation="none", bits=bits)
    *inner, last = shape.convolutions
    for each in inner:
        yield convolution(each, size, bits=bits)
        size = halved(size, each.stride)
    yield convolution(last, size, bits=bits, residual=True)


SPACES: Final[dict[str, SpaceFactory]] = {config.name: partial(ResNetSpace, config) for config in (TINY, IMAGENET)}
"""By name."""
