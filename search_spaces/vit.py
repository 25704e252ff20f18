"""Vision transformer spaces with elastic depth, width, attention heads, MLP ratio and resolution.

Stages of transformer blocks (layer norm, attention; layer norm, MLP with GELU) follow
convolutions that shrink the image, as in LeViT (Graham et al., ICCV 2021); what is elastic is
what AutoFormer searches (Chen et al., ICCV 2021). Positions come from a depthwise convolution
before each stage's blocks (Chu et al., ICLR 2023), so that weights fit any number of tokens.

Tokens pass between units in float. In a unit of 8 bits, convolutions and linear layers are
integer; attention's products, softmax, layer norm and the sums of tokens stay float.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

from search_spaces.fused_layers import (
    FusedConvolutionShape,
    Size,
    conversion,
    convolution,
    elementwise,
    global_pool,
    halved,
    layer_norm,
    linear,
    matmul,
    resize,
    softmax,
    transpose,
)
from search_spaces.operators import Operator
from search_spaces.precision import BITS, PRECISIONS
from search_spaces.space import Gene, IntArray, SpaceFactory
from search_spaces.stages import StageChoices, StagedSpace, side_text
from search_spaces.task import TaskSpec
from search_spaces.vit_config import TINY, ViTConfig


class EmbeddingShape(NamedTuple):
    """The convolutions before a stage's blocks: from an image to tokens.

    ``mid_width`` is 0 for a single convolution.
    """

    in_width: int
    mid_width: int
    out_width: int
    size: Size
    """Height and width of the input."""

    @property
    def grid(self) -> Size:
        """Rows and columns of tokens."""
        return halved(self.size, 4 if self.mid_width else 2)

    @property
    def convolutions(self) -> tuple[FusedConvolutionShape, ...]:
        """In order."""
        if not self.mid_width:
            return (FusedConvolutionShape(self.in_width, self.out_width, kernel=3, stride=2),)
        return (
            FusedConvolutionShape(self.in_width, self.mid_width, kernel=3, stride=2),
            FusedConvolutionShape(self.mid_width, self.out_width, kernel=3, stride=2),
        )


class TransformerBlockShape(NamedTuple):
    """The shape of one transformer block."""

    width: int
    heads: int
    head_dim: int
    hidden_width: int
    tokens: int

    @property
    def attention_width(self) -> int:
        """Channels of all heads."""
        return self.heads * self.head_dim


class ViTShape(NamedTuple):
    """A genotype decoded into the sizes needed to build the network; units by name, in order."""

    resolution: Size
    units: dict[str, EmbeddingShape | TransformerBlockShape]
    width: int
    """Channels of the last tokens."""
    tokens: int
    """Number of the last tokens."""


class ViTSpace(StagedSpace):
    """One vision transformer space bound to a task."""

    def __init__(self, config: ViTConfig, task: TaskSpec | None = None) -> None:
        """Binds a configuration to images and classes; errors as :class:`search_spaces.stages.StagedSpace`."""
        stages = [StageChoices(stage.depths, stage.stride) for stage in config.stages]
        super().__init__(config, stages, task or config.default_task)
        self.config = config
        units = []
        for block in self.blocks:
            if block.position == 0:
                units.append(_embedding_unit(block.stage))
            units.append(block.unit)
        self.units = (*units, "head")
        self.genes = tuple(self._make_genes())

    # --- genes -------------------------------------------------------------------

    def _make_genes(self) -> Iterator[Gene]:
        yield self.resolution_gene()
        for number, stage in enumerate(self.config.stages, start=1):
            yield Gene(name=f"stage{number}.depth", choices=stage.depths)
            yield Gene(name=f"stage{number}.width", choices=stage.widths)
        for block in self.blocks:
            yield Gene(name=f"{block.unit}.heads", choices=self.config.stages[block.stage].heads)
            yield Gene(name=f"{block.unit}.mlp_ratio", choices=self.config.mlp_ratios)
        yield from self.precision_genes()

    @property
    def block_genes(self) -> tuple[str, ...]:
        """See :class:`search_spaces.stages.StagedSpace`."""
        return ("heads", "mlp_ratio")

    def key_genes(self, unit: str) -> tuple[str, ...]:
        """See :class:`search_spaces.stages.StagedSpace`."""
        if unit == "head":
            return (f"stage{len(self.config.stages)}.width",)
        if unit in self.block_of:
            return (f"stage{self.block_of[unit].stage + 1}.width", *(f"{unit}.{gene}" for gene in self.block_genes))
        stage = self._embedded_stage(unit)
        return (*((f"stage{stage}.width",) if stage else ()), f"stage{stage + 1}.width")

    def unit_stride(self, unit: str) -> int:
        """See :class:`search_spaces.stages.StagedSpace`."""
        if unit == "head" or unit in self.block_of:
            return 1
        return self.config.stages[self._embedded_stage(unit)].stride

    def _embedded_stage(self, unit: str) -> int:
        """The stage that an embedding comes before, counted from 0."""
        return 0 if unit == "stem" else int(unit.partition(".")[0].removeprefix("stage")) - 1

    # --- units and their operators -------------------------------------------------

    def unit_operators(self, unit: int, key: int) -> tuple[Operator, ...]:
        """The fused operators of one unit in one configuration."""
        parts = self.key_parts(unit, key)
        bits = BITS[PRECISIONS[parts["precision"]]]
        shape = self._unit_shape(unit, parts)
        match shape:
            case EmbeddingShape():
                return tuple(self._embedding_operators(shape, bits))
            case TransformerBlockShape():
                return (*_attention_operators(shape, bits), *_mlp_operators(shape, bits))
            case (width, tokens):
                return tuple(self._head_operators(width, tokens, bits))

    def _unit_shape(self, unit: int, parts: dict[str, int]) -> EmbeddingShape | TransformerBlockShape | tuple[int, int]:
        """Of the choices of the unit's genes; width and number of tokens for the head."""
        name, config = self.units[unit], self.config
        height, width = size = self.input_size(unit, parts["resolution"])
        if name == "head":
            stage = len(config.stages)
            return config.stages[-1].widths[parts[f"stage{stage}.width"]], height * width
        if name in self.block_of:
            stage = self.block_of[name].stage
            out_width = config.stages[stage].widths[parts[f"stage{stage + 1}.width"]]
            return TransformerBlockShape(
                width=out_width,
                heads=config.stages[stage].heads[parts[f"{name}.heads"]],
                head_dim=config.head_dim,
                hidden_width=out_width * config.mlp_ratios[parts[f"{name}.mlp_ratio"]],
                tokens=height * width,
            )
        stage = self._embedded_stage(name)
        before = config.stages[stage - 1].widths[parts[f"stage{stage}.width"]] if stage else self.image.channels
        return EmbeddingShape(
            in_width=before,
            mid_width=0 if stage else config.stem_width,
            out_width=config.stages[stage].widths[parts[f"stage{stage + 1}.width"]],
            size=size,
        )

    def _embedding_operators(self, shape: EmbeddingShape, bits: int) -> Iterator[Operator]:
        size, image = shape.size, (self.image.height, self.image.width)
        if not shape.mid_width:
            yield transpose(shape.in_width, size)
        elif size != image:
            yield resize(shape.in_width, image, size)
        yield from conversion(32, bits, shape.in_width, size)
        *first, last = shape.convolutions
        for each in first:
            yield convolution(each, size, activation="relu", bits=bits)
            size = halved(size, each.stride)
        yield convolution(last, size, activation="none", bits=bits)
        positions = FusedConvolutionShape(shape.out_width, shape.out_width, kernel=3, groups=shape.out_width)
        yield convolution(positions, shape.grid, activation="none", residual=True, bits=bits)
        yield from conversion(bits, 32, shape.out_width, shape.grid)
        yield transpose(shape.out_width, shape.grid)

    def _head_operators(self, width: int, tokens: int, bits: int) -> Iterator[Operator]:
        yield layer_norm(width, tokens)
        yield global_pool(width, (1, tokens))
        yield from _linear(width, self.task.classes, 1, bits)

    # --- decoded shapes ------------------------------------------------------------

    def network_shape(self, genotype: IntArray) -> ViTShape:
        """Decodes one genotype, shape ``(genes,)``, into the sizes that build its network."""
        parts = self.present_parts(genotype)
        shapes = {name: self._unit_shape(self.units.index(name), choices) for name, choices in parts.items()}
        units = {
            name: shape for name, shape in shapes.items() if isinstance(shape, EmbeddingShape | TransformerBlockShape)
        }
        width, tokens = shapes["head"][:2]
        return ViTShape(
            resolution=self.resolutions[parts["stem"]["resolution"]], units=units, width=width, tokens=tokens
        )

    # --- texts ---------------------------------------------------------------------

    def fields(self) -> dict[str, tuple[str, ...]]:
        """Gene names by field letter."""
        stages = [f"stage{number}" for number in range(1, len(self.config.stages) + 1)]
        return {
            "d": tuple(f"{stage}.depth" for stage in stages),
            "w": tuple(f"{stage}.width" for stage in stages),
            "h": tuple(f"{block.unit}.heads" for block in self.blocks),
            "m": tuple(f"{block.unit}.mlp_ratio" for block in self.blocks),
            "r": ("resolution",),
            "q": tuple(f"{unit}.precision" for unit in self.units),
        }

    def describe(self, genotype: IntArray) -> str:
        """A summary such as ``28px, 5 blocks: 64ch h2-3 m2-3 | 128ch h4-6-8 m1-2-3``."""
        shape = self.network_shape(genotype)
        stages: list[list[TransformerBlockShape]] = [[] for _ in self.config.stages]
        for name, unit in shape.units.items():
            if isinstance(unit, TransformerBlockShape):
                stages[self.block_of[name].stage].append(unit)
        texts = []
        for blocks in stages:
            heads = "-".join(str(block.heads) for block in blocks)
            ratios = "-".join(str(block.hidden_width // block.width) for block in blocks)
            texts.append(f"{blocks[0].width}ch h{heads} m{ratios}")
        return f"{side_text(shape.resolution)}, {sum(map(len, stages))} blocks: " + " | ".join(texts)


def _embedding_unit(stage: int) -> str:
    return "stem" if stage == 0 else f"stage{stage + 1}.embedding"


def _attention_operators(shape: TransformerBlockShape, bits: int) -> Iterator[Operator]:
    heads, tokens, width = shape.heads, shape.tokens, shape.attention_width
    yield layer_norm(shape.width, tokens)
    yield from _linear(shape.width, 3 * width, tokens, bits)
    for _ in ("queries", "keys", "values"):
        yield transpose(width, (1, tokens))
    yield matmul(heads, tokens, tokens, shape.head_dim)
    yield softmax(heads * tokens, tokens)
    yield matmul(heads, tokens, shape.head_dim, tokens)
    yield transpose(width, (1, tokens))
    yield from _linear(width, shape.width, tokens, bits, residual=True)


def _mlp_operators(shape: TransformerBlockShape, bits: int) -> Iterator[Operator]:
    width, hidden, size = shape.width, shape.hidden_width, (1, shape.tokens)
    yield layer_norm(width, shape.tokens)
    yield from conversion(32, bits, width, size)
    yield linear(width, hidden, "gelu", tokens=shape.tokens, bits=bits)
    yield linear(hidden, width, tokens=shape.tokens, residual=bits == BITS["fp32"], bits=bits)
    yield from _to_float(bits, width, shape.tokens, residual=True)


def _linear(in_width: int, out_width: int, tokens: int, bits: int, *, residual: bool = False) -> Iterator[Operator]:
    """A linear layer from float tokens to float tokens."""
    yield from conversion(32, bits, in_width, (1, tokens))
    yield linear(in_width, out_width, tokens=tokens, residual=residual and bits == BITS["fp32"], bits=bits)
    yield from _to_float(bits, out_width, tokens, residual=residual)


def _to_float(bits: int, width: int, tokens: int, *, residual: bool) -> Iterator[Operator]:
    """The end of an integer linear layer; its tokens are added in float."""
    yield from conversion(bits, 32, width, (1, tokens))
    if residual and bits != BITS["fp32"]:
        yield elementwise(width, (1, tokens), residual=True)


SPACES: Final[dict[str, SpaceFactory]] = {TINY.name: partial(ViTSpace, TINY)}
"""By name."""
