"""MobileNetV3 spaces with elastic kernel, expand ratio, depth, width and resolution.

The layout is the one of Once-for-All's MobileNetV3 (Cai et al., ICLR 2020): a strided
stem, one fixed depthwise-separable block, stages of inverted bottlenecks, a final
expansion, pooling, a feature layer and a classifier. Width, squeeze-excite and the
activation are genes of a stage where its configuration offers more than one choice.
The network takes images in their own size and scales them itself (the resolution
gene), so that an exported file needs no preparation beyond normalization.

Where a configuration offers it, a gene of a stage makes its blocks *fused*: one dense 3x3
convolution takes the place of the expansion and the depthwise convolution. It has more
multiplications, but in one kernel that many processors run near their peak. The kernel
genes of a fused stage are inactive.
"""

from collections.abc import Iterator
from functools import cached_property, partial
from typing import Final, NamedTuple

from search_spaces.fused_layers import (
    FusedConvolutionShape,
    conversion,
    convolution,
    elementwise,
    global_pool,
    halved,
    linear,
    resize,
)
from search_spaces.mobilenet_v3_config import (
    FUSED_KERNEL,
    IMAGENET,
    IMAGENET_FUSED,
    TINY,
    TINY_FUSED,
    MobileNetV3Config,
    squeeze_width,
)
from search_spaces.operators import Activation, Operator
from search_spaces.precision import BITS, PRECISIONS
from search_spaces.space import BoolArray, Gene, IntArray, SpaceFactory
from search_spaces.stages import BlockPosition, StageChoices, StagedSpace, side_text
from search_spaces.task import TaskSpec
from search_spaces.widths import round_width


class InvertedBottleneckShape(NamedTuple):
    """The shape of one inverted bottleneck; sizes in channels and pixels.

    If ``fused``, the expansion has the kernel and the stride, and there is no depthwise convolution.
    """

    in_width: int
    hidden_width: int
    out_width: int
    kernel: int
    stride: int
    squeeze_excite: bool
    activation: Activation
    skip: bool
    expands: bool
    fused: bool = False

    @property
    def inner_convolutions(self) -> tuple[FusedConvolutionShape, ...]:
        """All before squeeze-excite and projection, in order; only the last has a stride."""
        hidden = self.hidden_width
        if self.fused:
            return (FusedConvolutionShape(self.in_width, hidden, kernel=self.kernel, stride=self.stride),)
        depthwise = FusedConvolutionShape(hidden, hidden, kernel=self.kernel, stride=self.stride, groups=hidden)
        return (*((FusedConvolutionShape(self.in_width, hidden),) if self.expands else ()), depthwise)


class MobileNetV3Shape(NamedTuple):
    """A genotype decoded into the sizes needed to build the network.

    ``block_units`` names the unit of each active block.
    """

    resolution: tuple[int, int]
    stem_width: int
    blocks: tuple[InvertedBottleneckShape, ...]
    block_units: tuple[str, ...]
    final_width: int
    feature_width: int


class MobileNetV3Space(StagedSpace):
    """One MobileNetV3 space bound to a task."""

    def __init__(self, config: MobileNetV3Config, task: TaskSpec | None = None) -> None:
        """Binds a configuration to images and classes; errors as :class:`search_spaces.stages.StagedSpace`."""
        stages = [StageChoices(stage.depths, stage.stride) for stage in config.stages]
        super().__init__(config, stages, task or config.default_task)
        self.config = config
        self.units = ("stem", "first", *(block.unit for block in self.blocks), "head")
        self.genes = tuple(self._make_genes())

    # --- genes -------------------------------------------------------------------

    def _make_genes(self) -> Iterator[Gene]:
        yield self.resolution_gene()
        for number, stage in enumerate(self.config.stages, start=1):
            yield Gene(name=f"stage{number}.depth", choices=stage.depths)
            yield Gene(name=f"stage{number}.width", choices=stage.widths)
            yield Gene(name=f"stage{number}.squeeze_excite", choices=stage.squeeze_excite)
            yield Gene(name=f"stage{number}.activation", choices=stage.activations)
            if len(stage.fused) > 1:
                yield Gene(name=f"stage{number}.fused", choices=stage.fused)
        for block in self.blocks:
            yield Gene(name=f"{block.unit}.kernel", choices=self.config.kernels)
            yield Gene(name=f"{block.unit}.expand", choices=self.config.expand_ratios)
        yield from self.precision_genes()

    @property
    def block_genes(self) -> tuple[str, ...]:
        """See :class:`search_spaces.stages.StagedSpace`."""
        return ("kernel", "expand")

    @cached_property
    def _fused_genes(self) -> dict[int, str]:
        """The gene of each stage (counted from 0) that can be fused."""
        return {
            number: f"stage{number + 1}.fused"
            for number, stage in enumerate(self.config.stages)
            if len(stage.fused) > 1
        }

    def active(self, genotypes: IntArray) -> BoolArray:
        """See :class:`search_spaces.stages.StagedSpace`; kernels of fused stages are inactive."""
        mask = super().active(genotypes)
        for block in self.blocks:
            if gene := self._fused_genes.get(block.stage):
                split = self.choices(genotypes, gene) == self.config.stages[block.stage].fused.index(False)
                mask[:, self.gene_index[f"{block.unit}.kernel"]] &= split
        return mask

    def key_genes(self, unit: str) -> tuple[str, ...]:
        """See :class:`search_spaces.stages.StagedSpace`."""
        if unit == "head":
            return (f"stage{len(self.config.stages)}.width",)
        if unit not in self.block_of:
            return ()
        block = self.block_of[unit]
        stage = f"stage{block.stage + 1}"
        before = (f"stage{block.stage}.width",) if block.position == 0 and block.stage else ()
        own = tuple(f"{unit}.{gene}" for gene in self.block_genes)
        fused = (self._fused_genes[block.stage],) if block.stage in self._fused_genes else ()
        return (*before, f"{stage}.width", *own, f"{stage}.squeeze_excite", f"{stage}.activation", *fused)

    def unit_stride(self, unit: str) -> int:
        """See :class:`search_spaces.stages.StagedSpace`."""
        return 2 if unit == "stem" else self.block_stride(unit)

    # --- units and their operators -------------------------------------------------

    def unit_operators(self, unit: int, key: int) -> tuple[Operator, ...]:
        """The fused operators of one unit in one configuration."""
        name, parts = self.units[unit], self.key_parts(unit, key)
        bits, before = (BITS[PRECISIONS[parts[which]]] for which in ("precision", "before"))
        size = self.input_size(unit, parts["resolution"])
        if name == "stem":
            return tuple(self._stem_operators(size, bits))
        if name == "head":
            width = self.config.stages[-1].widths[parts[f"stage{len(self.config.stages)}.width"]]
            return tuple(self._head_operators(size, width, bits, before))
        shape = self.first_block if name == "first" else self._block_shape(self.block_of[name], parts)
        return tuple(self._block_operators(size, shape, bits, before))

    @property
    def first_block(self) -> InvertedBottleneckShape:
        """The fixed block after the stem: depthwise and projection, without expansion."""
        return InvertedBottleneckShape(
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

    def _block_shape(self, block: BlockPosition, parts: dict[str, int]) -> InvertedBottleneckShape:
        """Of the choices of the unit's genes."""
        number, stage = block.stage + 1, self.config.stages[block.stage]
        out_width = stage.widths[parts[f"stage{number}.width"]]
        if block.position:
            in_width = out_width
        elif block.stage:
            in_width = self.config.stages[block.stage - 1].widths[parts[f"stage{block.stage}.width"]]
        else:
            in_width = self.config.first_width
        fused = stage.fused[parts.get(f"stage{number}.fused", 0)]
        return InvertedBottleneckShape(
            in_width=in_width,
            hidden_width=round_width(in_width * self.config.expand_ratios[parts[f"{block.unit}.expand"]]),
            out_width=out_width,
            kernel=FUSED_KERNEL if fused else self.config.kernels[parts[f"{block.unit}.kernel"]],
            stride=self.block_stride(block.unit),
            squeeze_excite=stage.squeeze_excite[parts[f"stage{number}.squeeze_excite"]],
            activation=stage.activations[parts[f"stage{number}.activation"]],
            skip=block.position > 0,
            expands=True,
            fused=fused,
        )

    def _stem_operators(self, size: tuple[int, int], bits: int) -> Iterator[Operator]:
        image = self.image
        if size != (image.height, image.width):
            yield resize(image.channels, (image.height, image.width), size)
        yield from conversion(32, bits, image.channels, size)
        yield convolution(
            FusedConvolutionShape(image.channels, self.config.stem_width, kernel=3, stride=2),
            size,
            bits=bits,
            activation="hard_swish",
        )

    def _block_operators(
        self, size: tuple[int, int], shape: InvertedBottleneckShape, bits: int, before: int
    ) -> Iterator[Operator]:
        hidden, out_size = shape.hidden_width, halved(size, shape.stride)
        yield from conversion(before, bits, shape.in_width, size)
        for inner in shape.inner_convolutions:
            yield convolution(inner, size, bits=bits, activation=shape.activation)
        if shape.squeeze_excite:
            yield global_pool(hidden, out_size, bits=bits)
            yield linear(hidden, squeeze_width(hidden), "relu", bits=bits)
            yield linear(squeeze_width(hidden), hidden, "hard_sigmoid", bits=bits)
            yield elementwise(hidden, out_size, bits=bits)
        yield convolution(
            FusedConvolutionShape(hidden, shape.out_width), out_size, bits=bits, activation="none", residual=shape.skip
        )

    def _head_operators(self, size: tuple[int, int], width: int, bits: int, before: int) -> Iterator[Operator]:
        config = self.config
        yield from conversion(before, bits, width, size)
        yield convolution(FusedConvolutionShape(width, config.final_width), size, bits=bits, activation="hard_swish")
        yield global_pool(config.final_width, size, bits=bits)
        yield linear(config.final_width, config.feature_width, "hard_swish", bits=bits)
        yield linear(config.feature_width, self.task.classes, bits=bits)
        yield from conversion(bits, 32, self.task.classes, (1, 1))

    # --- decoded shapes ------------------------------------------------------------

    def network_shape(self, genotype: IntArray) -> MobileNetV3Shape:
        """Decodes one genotype, shape ``(genes,)``, into the sizes that build its network."""
        parts = self.present_parts(genotype)
        present = [self.block_of[name] for name in parts if name in self.block_of]
        return MobileNetV3Shape(
            resolution=self.resolutions[parts["stem"]["resolution"]],
            stem_width=self.config.stem_width,
            blocks=(self.first_block, *(self._block_shape(block, parts[block.unit]) for block in present)),
            block_units=("first", *(block.unit for block in present)),
            final_width=self.config.final_width,
            feature_width=self.config.feature_width,
        )

    def largest_shape(self, *, fused: bool) -> MobileNetV3Shape:
        """The largest network with fused blocks in every stage that offers them, or in none."""
        genotype = self.cardinalities - 1
        for stage, gene in self._fused_genes.items():
            genotype[self.gene_index[gene]] = self.config.stages[stage].fused.index(fused)
        return self.network_shape(genotype)

    # --- texts ---------------------------------------------------------------------

    def fields(self) -> dict[str, tuple[str, ...]]:
        """Gene names by field letter, in the order of the published tables."""
        stages = [f"stage{number}" for number in range(1, len(self.config.stages) + 1)]
        blocks = [block.unit for block in self.blocks]
        return {
            "ks": tuple(f"{block}.kernel" for block in blocks),
            "e": tuple(f"{block}.expand" for block in blocks),
            "d": tuple(f"{stage}.depth" for stage in stages),
            "w": tuple(f"{stage}.width" for stage in stages),
            "se": tuple(f"{stage}.squeeze_excite" for stage in stages),
            "a": tuple(f"{stage}.activation" for stage in stages),
            **({"f": tuple(self._fused_genes.values())} if self._fused_genes else {}),
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
            kind = "fused " if blocks[0].fused else ""
            stages.append(f"{blocks[0].out_width}ch {kind}k{kernels} e{ratios}{marks}")
        return f"{side_text(shape.resolution)}, {len(shape.blocks) - 1} blocks: " + " | ".join(stages)


SPACES: Final[dict[str, SpaceFactory]] = {
    config.name: partial(MobileNetV3Space, config) for config in (TINY, IMAGENET, TINY_FUSED, IMAGENET_FUSED)
}
"""By name."""
