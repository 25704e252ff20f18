"""Base class of staged spaces: a stem, stages of blocks with elastic depth, a head.

The network takes images in their own size and scales them itself (the resolution gene), so
that an exported file needs no preparation beyond normalization.
"""

import itertools
import operator
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

import numpy as np

from search_spaces.errors import UnsupportedTaskError
from search_spaces.field_strings import FieldStringSpace
from search_spaces.fused_layers import Size, halved
from search_spaces.precision import PRECISIONS
from search_spaces.resolutions import scaled_sizes
from search_spaces.space import BoolArray, Gene, IntArray
from search_spaces.task import TaskSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedConfig:
    """Common first fields of all configurations; a space's id depends on the order of the fields.

    ``resolution_scales`` are relative to the data's own size; the scaled sides are
    rounded to multiples of ``resolution_step_px``.
    """

    name: str
    min_side_px: int
    resolution_scales: tuple[float, ...]
    resolution_step_px: int

    @property
    def text(self) -> str:
        """All fields. Ids of supernets depend on it, so images and classes are written as they were in the first."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        texts = {
            name: _task_text(value) if isinstance(value, TaskSpec) else repr(value) for name, value in values.items()
        }
        return f"{type(self).__name__}({', '.join(f'{name}={text}' for name, text in texts.items())})"


def _task_text(task: TaskSpec) -> str:
    image = task.image
    return f"ImageTask(channels={image.channels}, height={image.height}, width={image.width}, classes={task.classes})"


class BlockPosition(NamedTuple):
    """The position of a searchable block, counted from 0."""

    stage: int
    position: int

    @property
    def unit(self) -> str:
        """The unit's name, such as ``stage1.block2``."""
        return f"stage{self.stage + 1}.block{self.position + 1}"


class StageChoices(NamedTuple):
    """What a stage's blocks have in common."""

    depths: tuple[int, ...]
    stride: int
    """Of the first block."""


class StagedSpace(FieldStringSpace):
    """A space whose blocks are present by their stage's ``depth`` gene; every unit has a ``precision`` gene."""

    def __init__(self, config: StagedConfig, stages: Sequence[StageChoices], task: TaskSpec) -> None:
        """Binds a configuration to images and classes; subclasses add units and genes.

        Raises:
            UnsupportedTaskError: if the task has no images, or smaller ones than the space can take.
        """
        self.task = task
        self.name = config.name
        self.image = task.image_for(config.name)
        if min(self.image.height, self.image.width) < config.min_side_px:
            raise UnsupportedTaskError(
                f"{config.name} needs images of at least {config.min_side_px} pixels per side;"
                f" these are {self.image.height}x{self.image.width}. Scale them up or choose a smaller space."
            )
        self.resolutions = scaled_sizes(self.image, config.resolution_scales, config.resolution_step_px)
        self.blocks = tuple(
            BlockPosition(stage, position)
            for stage, choices in enumerate(stages)
            for position in range(max(choices.depths))
        )
        self._stages = tuple(stages)
        self._configuration = config.text

    @property
    def configuration(self) -> str:
        """See :attr:`SearchSpace.configuration`."""
        return self._configuration

    # --- defined by each space ---------------------------------------------------

    @property
    @abstractmethod
    def block_genes(self) -> tuple[str, ...]:
        """The genes that each block has for itself, its precision apart; each is called ``UNIT.GENE``."""

    @abstractmethod
    def key_genes(self, unit: str) -> tuple[str, ...]:
        """The genes that a unit's sizes depend on, resolution and precision apart."""

    @abstractmethod
    def unit_stride(self, unit: str) -> int:
        """By how much a unit divides the sides of its input."""

    # --- derived -----------------------------------------------------------------

    @cached_property
    def block_of(self) -> dict[str, BlockPosition]:
        """Each block by its unit's name."""
        return {block.unit: block for block in self.blocks}

    def resolution_gene(self) -> Gene:
        """The first gene."""
        return Gene(name="resolution", choices=tuple(f"{h}x{w}" for h, w in self.resolutions))

    def precision_genes(self) -> tuple[Gene, ...]:
        """The last genes, one per unit."""
        return tuple(Gene(name=f"{unit}.precision", choices=PRECISIONS, part="policy") for unit in self.units)

    def choices(self, genotypes: IntArray, gene: str) -> IntArray:
        """A gene's column, shape ``(n,)``."""
        column: IntArray = genotypes[:, self.gene_index[gene]]
        return column

    def active(self, genotypes: IntArray) -> BoolArray:
        """Active genes, shape ``(n, genes)``: all but those of absent blocks."""
        mask = np.ones((len(genotypes), len(self.genes)), dtype=np.bool_)
        for block in self.blocks:
            depths = np.array(self._stages[block.stage].depths)
            present = depths[self.choices(genotypes, f"stage{block.stage + 1}.depth")] > block.position
            for gene in (*self.block_genes, "precision"):
                mask[:, self.gene_index[f"{block.unit}.{gene}"]] = present
        return mask

    @cached_property
    def _key_genes(self) -> tuple[tuple[str, ...], ...]:
        return tuple(("resolution", *self.key_genes(unit)) for unit in self.units)

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
            precision = self.choices(genotypes, f"{name}.precision")
            parts = (*(self.choices(genotypes, gene) for gene in self._key_genes[unit]), precision, before)
            here = active[:, self.gene_index[f"{name}.precision"]]
            keys[:, unit] = np.where(here, np.ravel_multi_index(parts, self._radices[unit]), -1)
            before = np.where(here, precision, before)
        return keys

    def key_parts(self, unit: int, key: int) -> dict[str, int]:
        """The choices behind a key, by gene; its own precision under ``precision``, the one before under ``before``."""
        parts = (int(value) for value in np.unravel_index(key, self._radices[unit]))
        return dict(zip((*self._key_genes[unit], "precision", "before"), parts, strict=True))

    def present_parts(self, genotype: IntArray) -> dict[str, dict[str, int]]:
        """The choices of each present unit of a genotype, shape ``(genes,)``, in order."""
        keys = self.unit_keys(self.canonicalize(genotype[None]))[0].tolist()
        return {name: self.key_parts(unit, keys[unit]) for unit, name in enumerate(self.units) if keys[unit] >= 0}

    def input_size(self, unit: int, resolution: int) -> Size:
        """Height and width of a unit's input (for the stem, after resizing) at a choice of the resolution gene."""
        return halved(self.resolutions[resolution], self._total_strides[unit])

    @cached_property
    def _total_strides(self) -> tuple[int, ...]:
        """Total stride of the units before each unit."""
        return (1, *itertools.accumulate((self.unit_stride(unit) for unit in self.units), operator.mul))

    def block_stride(self, unit: str) -> int:
        """The stride of a block; 1 for all but the first of a stage, and for other units."""
        block = self.block_of.get(unit)
        return self._stages[block.stage].stride if block is not None and block.position == 0 else 1


def side_text(size: Size) -> str:
    """``28px``, or ``24x37px`` where sides differ."""
    height, width = size
    return f"{height}px" if height == width else f"{height}x{width}px"
