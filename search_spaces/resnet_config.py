"""Configurations of ResNet spaces.

``TINY`` trains in minutes on two cores; ``IMAGENET`` is Once-for-All's ResNet-50 space
(Cai et al., ICLR 2020; ``OFAResNets`` of the published code). They are the same code with
other numbers.
"""

from dataclasses import dataclass
from typing import Final, Literal

from search_spaces.stages import StagedConfig
from search_spaces.task import TaskSpec
from search_spaces.widths import round_width

BlockKind = Literal["basic", "bottleneck"]
"""Two 3x3 convolutions, or a 3x3 one between two 1x1 ones (He et al., CVPR 2016)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetStageConfig:
    """One stage's choices; every tuple is ordered from cheap to expensive."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    stride: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetConfig(StagedConfig):
    """The configuration of one ResNet space.

    The stem is a strided 3x3 convolution. Where ``stem_mid_widths`` has choices, it is the
    deep one of ResNet-D instead (He et al., CVPR 2019): the first convolution has a middle
    width, a second one with a skip connection is optional, a third one widens, and max
    pooling follows.
    """

    stem_mid_widths: tuple[int, ...]
    stem_widths: tuple[int, ...]
    block: BlockKind
    expand_ratios: tuple[float, ...]
    """Inner width of a block over its output width."""
    pooled_shortcuts: bool
    """Whether a shortcut of stride 2 averages pixels before its convolution (ResNet-D), or the convolution strides."""
    stages: tuple[ResNetStageConfig, ...]
    default_task: TaskSpec


TINY: Final = ResNetConfig(
    name="resnet:tiny",
    min_side_px=24,
    resolution_scales=(20 / 28, 24 / 28, 1.0),
    resolution_step_px=4,
    stem_mid_widths=(),
    stem_widths=(16, 32),
    block="basic",
    expand_ratios=(0.5, 0.75, 1.0),
    pooled_shortcuts=False,
    stages=(
        ResNetStageConfig(widths=(16, 24, 32), depths=(1, 2, 3), stride=1),
        ResNetStageConfig(widths=(32, 48, 64), depths=(1, 2, 3), stride=2),
        ResNetStageConfig(widths=(64, 96, 128), depths=(1, 2, 3), stride=2),
    ),
    default_task=TaskSpec.image_classification(channels=1, height=28, width=28, classes=10),
)
"""Trains in minutes on two cores; dense 3x3 convolutions throughout."""

_WIDTH_MULTIPLIERS: Final = (0.65, 0.8, 1.0)


def _widths(width: int) -> tuple[int, ...]:
    return tuple(round_width(width * multiplier) for multiplier in _WIDTH_MULTIPLIERS)


def _ofa_stage(width: int, base_depth: int, stride: int) -> ResNetStageConfig:
    depths = tuple(base_depth + extra for extra in (0, 1, 2))
    return ResNetStageConfig(widths=_widths(width), depths=depths, stride=stride)


IMAGENET: Final = ResNetConfig(
    name="resnet:imagenet",
    min_side_px=64,
    resolution_scales=tuple(side / 224 for side in range(128, 225, 16)),
    resolution_step_px=4,
    # Of the published list (24, 24, 32), two are the same.
    stem_mid_widths=tuple(sorted({round_width(width // 2) for width in _widths(64)})),
    stem_widths=_widths(64),
    block="bottleneck",
    expand_ratios=(0.2, 0.25, 0.35),
    pooled_shortcuts=True,
    stages=(_ofa_stage(256, 2, 1), _ofa_stage(512, 2, 2), _ofa_stage(1024, 4, 2), _ofa_stage(2048, 2, 2)),
    default_task=TaskSpec.image_classification(channels=3, height=224, width=224, classes=1000),
)
"""The published space; ResNet-50-D is a member (expand 0.25, all widths 1.0, depths 3-4-6-3)."""
