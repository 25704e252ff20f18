"""Configurations of MobileNetV3 spaces.

``TINY`` trains in minutes on two cores; ``IMAGENET`` is the original Once-for-All space
(Cai et al., ICLR 2020) at width 1.0. They are the same code with other numbers. The
``-fused`` variants add a gene per stage: inverted bottlenecks, or fused ones (fused MBConv,
Gupta and Tan, 2019; EfficientNetV2, Tan and Le, ICML 2021) whose first convolution is dense.
They are spaces of their own, so that the ids, strings and supernets of the others stay valid.
"""

from dataclasses import dataclass, replace
from typing import Final

from search_spaces.operators import Activation
from search_spaces.stages import StagedConfig
from search_spaces.task import TaskSpec
from search_spaces.widths import round_width


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """One stage's choices; every tuple is ordered from cheap to expensive."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    stride: int
    squeeze_excite: tuple[bool, ...]
    activations: tuple[Activation, ...]

    @property
    def fused(self) -> tuple[bool, ...]:
        """Whether blocks are fused."""
        return (False,)


@dataclass(frozen=True, slots=True, kw_only=True)
class FusibleStageConfig(StageConfig):
    """A stage that chooses between inverted bottlenecks and fused ones."""

    fused: tuple[bool, ...] = (False, True)


@dataclass(frozen=True, slots=True, kw_only=True)
class MobileNetV3Config(StagedConfig):
    """The configuration of one MobileNetV3 space."""

    stem_width: int
    first_width: int
    stages: tuple[StageConfig, ...]
    kernels: tuple[int, ...]
    expand_ratios: tuple[int, ...]
    final_width: int
    feature_width: int
    default_task: TaskSpec


TINY: Final = MobileNetV3Config(
    name="mobilenet_v3:tiny",
    min_side_px=24,
    resolution_scales=(20 / 28, 24 / 28, 1.0),
    resolution_step_px=4,
    stem_width=16,
    first_width=16,
    stages=(
        StageConfig(
            widths=(8, 16),
            depths=(1, 2),
            stride=1,
            squeeze_excite=(False, True),
            activations=("relu", "hard_swish"),
        ),
        StageConfig(
            widths=(24, 40),
            depths=(1, 2, 3),
            stride=2,
            squeeze_excite=(False, True),
            activations=("relu", "hard_swish"),
        ),
        StageConfig(
            widths=(48, 80),
            depths=(1, 2, 3),
            stride=2,
            squeeze_excite=(False, True),
            activations=("relu", "hard_swish"),
        ),
    ),
    kernels=(3, 5, 7),
    expand_ratios=(2, 3, 4),
    final_width=160,
    feature_width=192,
    default_task=TaskSpec.image_classification(channels=1, height=28, width=28, classes=10),
)
"""Trains in minutes on two cores; has every kind of gene of the ImageNet space."""


def _ofa_stage(width: int, stride: int, activation: Activation, squeeze_excite: bool) -> StageConfig:
    return StageConfig(
        widths=(width,),
        depths=(2, 3, 4),
        stride=stride,
        squeeze_excite=(squeeze_excite,),
        activations=(activation,),
    )


IMAGENET: Final = MobileNetV3Config(
    name="mobilenet_v3:imagenet",
    min_side_px=64,
    resolution_scales=tuple(side / 224 for side in range(128, 225, 4)),
    resolution_step_px=4,
    stem_width=16,
    first_width=16,
    stages=(
        _ofa_stage(24, 2, "relu", False),
        _ofa_stage(40, 2, "relu", True),
        _ofa_stage(80, 2, "hard_swish", False),
        _ofa_stage(112, 1, "hard_swish", True),
        _ofa_stage(160, 2, "hard_swish", True),
    ),
    kernels=(3, 5, 7),
    expand_ratios=(3, 4, 6),
    final_width=960,
    feature_width=1280,
    default_task=TaskSpec.image_classification(channels=3, height=224, width=224, classes=1000),
)
"""The original Once-for-All space at width 1.0."""


def _with_fused_blocks(config: MobileNetV3Config, stages: int) -> MobileNetV3Config:
    """The variant whose first ``stages`` stages choose whether their blocks are fused."""
    fusible = (
        FusibleStageConfig(
            widths=stage.widths,
            depths=stage.depths,
            stride=stage.stride,
            squeeze_excite=stage.squeeze_excite,
            activations=stage.activations,
        )
        for stage in config.stages[:stages]
    )
    return replace(config, name=f"{config.name}-fused", stages=(*fusible, *config.stages[stages:]))


TINY_FUSED: Final = _with_fused_blocks(TINY, stages=3)
"""Blocks of any stage can be fused."""

IMAGENET_FUSED: Final = _with_fused_blocks(IMAGENET, stages=3)
"""Blocks of the first three stages can be fused, as in EfficientNetV2; later ones are too wide to be dense."""

FUSED_KERNEL: Final = 3
"""Of the dense convolution of fused blocks."""


def squeeze_width(width: int) -> int:
    """Hidden channels of squeeze-excite on ``width`` channels."""
    return round_width(width / 4)
