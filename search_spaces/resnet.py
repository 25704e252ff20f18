"""ResNet spaces with elastic depth, width, inner width (expand ratio) and resolution.

The layout is that of He et al. (CVPR 2016), with the changes of ResNet-D (He et al., CVPR
2019) where a configuration asks for them: a stem, stages of residual blocks whose first
one has a convolution in its shortcut, pooling and a classifier. As in
:mod:`search_spaces.mobilenet_v3`, the network scales its images itself.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from search_spaces.fused_layers import (
    FusedConvolutionShape,
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
from search_spaces.space import Gene, IntArray, SpaceFactory
from search_spaces.stages import BlockPosition, StageChoices, StagedSpace, side_text
from search_spaces.task import TaskSpec
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


class ResidualBlockShape(NamedTuple):
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
    def convolutions(self) -> tuple[FusedConvolutionShape, ...]:
        """Of the residual branch, in order."""
        if self.kind == "basic":
            return (
                FusedConvolutionShape(self.in_width, self.mid_width, kernel=3, stride=self.stride),
                FusedConvolutionShape(self.mid_width, self.out_width, kernel=3),
            )
        return (
            FusedConvolutionShape(self.in_width, self.mid_width),
            FusedConvolutionShape(self.mid_width, self.mid_width, kernel=3, stride=self.stride),
            FusedConvolutionShape(self.mid_width, self.out_width),
        )

    @property
    def shortcut_stride(self) -> int:
        """Of the shortcut's convolution."""
        return 1 if self.pools else self.stride


class ResNetShape(NamedTuple):
    """A genotype decoded into the sizes needed to build the network.

    ``block_units`` names the unit of each present block.
    """

    resolution: Size
    stem: StemShape
    blocks: tuple[ResidualBlockShape, ...]
    block_units: tuple[str, ...]


class ResNetSpace(StagedSpace):
    """One ResNet space bound to a task."""

    def __init__(self, config: ResNetConfig, task: TaskSpec | None = None) -> None:
        """Binds a configuration to images and classes; errors as :class:`search_spaces.stages.StagedSpace`."""
        stages = [StageChoices(stage.depths, stage.stride) for stage in config.stages]
        super().__init__(config, stages, task or config.default_task)
        self.config = config
        self.units = ("stem", *(block.unit for block in self.blocks), "head")
        self.genes = tuple(self._make_genes())

    # --- genes -------------------------------------------------------------------

    def _make_genes(self) -> Iterator[Gene]:
        yield self.resolution_gene()
        if self.config.stem_mid_widths:
            yield Gene(name="stem.residual", choices=(False, True))
            yield Gene(name="stem.mid_width", choices=self.config.stem_mid_widths)
        yield Gene(name="stem.width", choices=self.config.stem_widths)
        for number, stage in enumerate(self.config.stages, start=1):
            yield Gene(name=f"stage{number}.depth", choices=stage.depths)
            yield Gene(name=f"stage{number}.width", choices=stage.widths)
        for block in self.blocks:
            yield Gene(name=f"{block.unit}.expand", choices=self.config.expand_ratios)
        yield from self.precision_genes()

    @property
    def block_genes(self) -> tuple[str, ...]:
        """See :class:`search_spaces.stages.StagedSpace`."""
        return ("expand",)

    def key_genes(self, unit: str) -> tuple[str, ...]:
        """See :class:`search_spaces.stages.StagedSpace`."""
        if unit == "stem":
            deep = ("stem.residual", "stem.mid_width") if self.config.stem_mid_widths else ()
            return (*deep, "stem.width")
        if unit == "head":
            return (f"stage{len(self.config.stages)}.width",)
        block = self.block_of[unit]
        width = f"stage{block.stage + 1}.width"
        return (*(() if block.position else (self._width_before(block),)), width, f"{unit}.expand")

    def unit_stride(self, unit: str) -> int:
        """See :class:`search_spaces.stages.StagedSpace`."""
        if unit == "stem":
            return 4 if self.config.stem_mid_widths else 2
        return self.block_stride(unit)

    @staticmethod
    def _width_before(block: BlockPosition) -> str:
        """The gene of the width that a stage's first block reads."""
        return f"stage{block.stage}.width" if block.stage else "stem.width"

    # --- units and their operators -------------------------------------------------

    def unit_operators(self, unit: int, key: int) -> tuple[Operator, ...]:
        """The fused operators of one unit in one configuration."""
        name, parts = self.units[unit], self.key_parts(unit, key)
        size = self.input_size(unit, parts["resolution"])
        bits, bits_before = (BITS[PRECISIONS[parts[which]]] for which in ("precision", "before"))
        if name == "stem":
            return tuple(self._stem_operators(size, self._stem_shape(parts), bits))
        if name == "head":
            width = self.config.stages[-1].widths[parts[f"stage{len(self.config.stages)}.width"]]
            return tuple(self._head_operators(size, width, bits, bits_before))
        return tuple(_block_operators(size, self._block_shape(self.block_of[name], parts), bits, bits_before))

    def _stem_shape(self, parts: dict[str, int]) -> StemShape:
        """Of the choices of the unit's genes."""
        width = self.config.stem_widths[parts["stem.width"]]
        if not self.config.stem_mid_widths:
            return StemShape(width=width)
        mid_width = self.config.stem_mid_widths[parts["stem.mid_width"]]
        return StemShape(width=width, mid_width=mid_width, residual=bool(parts["stem.residual"]))

    def _block_shape(self, block: BlockPosition, parts: dict[str, int]) -> ResidualBlockShape:
        """Of the choices of the unit's genes."""
        config, stage = self.config, self.config.stages[block.stage]
        out_width, stride = stage.widths[parts[f"stage{block.stage + 1}.width"]], self.block_stride(block.unit)
        in_width = out_width
        if not block.position:
            widths = config.stages[block.stage - 1].widths if block.stage else config.stem_widths
            in_width = widths[parts[self._width_before(block)]]
        return ResidualBlockShape(
            kind=config.block,
            in_width=in_width,
            mid_width=round_width(round(out_width * config.expand_ratios[parts[f"{block.unit}.expand"]])),
            out_width=out_width,
            stride=stride,
            projects=block.position == 0,
            pools=config.pooled_shortcuts and stride > 1,
        )

    def _stem_operators(self, size: Size, shape: StemShape, bits: int) -> Iterator[Operator]:
        image = self.image
        if size != (image.height, image.width):
            yield resize(image.channels, (image.height, image.width), size)
        yield from conversion(32, bits, image.channels, size)
        if not shape.mid_width:
            yield convolution(FusedConvolutionShape(image.channels, shape.width, kernel=3, stride=2), size, bits=bits)
            return
        mid, inner = shape.mid_width, halved(size, 2)
        yield convolution(FusedConvolutionShape(image.channels, mid, kernel=3, stride=2), size, bits=bits)
        if shape.residual:
            yield convolution(FusedConvolutionShape(mid, mid, kernel=3), inner, bits=bits, residual=True)
        yield convolution(FusedConvolutionShape(mid, shape.width, kernel=3), inner, bits=bits)
        yield pool(shape.width, inner, kernel=3, stride=2, bits=bits)

    def _head_operators(self, size: Size, width: int, bits: int, before: int) -> Iterator[Operator]:
        yield from conversion(before, bits, width, size)
        yield global_pool(width, size, bits=bits)
        yield linear(width, self.task.classes, bits=bits)
        yield from conversion(bits, 32, self.task.classes, (1, 1))

    # --- decoded shapes ------------------------------------------------------------

    def network_shape(self, genotype: IntArray) -> ResNetShape:
        """Decodes one genotype, shape ``(genes,)``, into the sizes that build its network."""
        parts = self.present_parts(genotype)
        present = [self.block_of[name] for name in parts if name in self.block_of]
        return ResNetShape(
            resolution=self.resolutions[parts["stem"]["resolution"]],
            stem=self._stem_shape(parts["stem"]),
            blocks=tuple(self._block_shape(block, parts[block.unit]) for block in present),
            block_units=tuple(block.unit for block in present),
        )

    # --- texts ---------------------------------------------------------------------

    def fields(self) -> dict[str, tuple[str, ...]]:
        """Gene names by field letter; depths and widths in the order of the published code."""
        stages = [f"stage{number}" for number in range(1, len(self.config.stages) + 1)]
        deep = bool(self.config.stem_mid_widths)
        return {
            "d": (*(("stem.residual",) if deep else ()), *(f"{stage}.depth" for stage in stages)),
            "e": tuple(f"{block.unit}.expand" for block in self.blocks),
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
        stem = f"{shape.stem.mid_width}-{shape.stem.width}" if shape.stem.mid_width else str(shape.stem.width)
        extra = "+1" if shape.stem.residual else ""
        return f"{side_text(shape.resolution)}, stem {stem}ch{extra}, {len(shape.blocks)} blocks: " + " | ".join(stages)


def _block_operators(size: Size, shape: ResidualBlockShape, bits: int, before: int) -> Iterator[Operator]:
    yield from conversion(before, bits, shape.in_width, size)
    if shape.projects:
        shortcut_size = halved(size, shape.stride) if shape.pools else size
        if shape.pools:
            yield pool(shape.in_width, size, kernel=shape.stride, stride=shape.stride, bits=bits)
        shortcut = FusedConvolutionShape(shape.in_width, shape.out_width, stride=shape.shortcut_stride)
        yield convolution(shortcut, shortcut_size, activation="none", bits=bits)
    *inner, last = shape.convolutions
    for each in inner:
        yield convolution(each, size, bits=bits)
        size = halved(size, each.stride)
    yield convolution(last, size, bits=bits, residual=True)


SPACES: Final[dict[str, SpaceFactory]] = {config.name: partial(ResNetSpace, config) for config in (TINY, IMAGENET)}
"""By name."""
