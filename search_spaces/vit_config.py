"""Configurations of vision transformer spaces."""

from dataclasses import dataclass
from typing import Final

from search_spaces.stages import StagedConfig
from search_spaces.task import TaskSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ViTStageConfig:
    """One stage's choices; every tuple is ordered from cheap to expensive."""

    widths: tuple[int, ...]
    """Channels of a token."""
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    """Of each block's attention."""
    stride: int
    """Of the convolutions before the stage's blocks: 4 (two of them) for the first, 2 (one) for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViTConfig(StagedConfig):
    """The configuration of one vision transformer space."""

    stem_width: int
    """Channels between the stem's two convolutions."""
    head_dim: int
    """Channels of an attention head; the same in all networks, so that fewer heads are the first of more."""
    mlp_ratios: tuple[int, ...]
    """Inner width of a block's MLP over the stage's width."""
    stages: tuple[ViTStageConfig, ...]
    default_task: TaskSpec


TINY: Final = ViTConfig(
    name="vit:tiny",
    min_side_px=24,
    resolution_scales=(20 / 28, 24 / 28, 1.0),
    resolution_step_px=4,
    stem_width=32,
    head_dim=16,
    mlp_ratios=(1, 2, 3),
    stages=(
        ViTStageConfig(widths=(48, 64, 80), depths=(1, 2, 3), heads=(2, 3, 4), stride=4),
        ViTStageConfig(widths=(96, 128, 160), depths=(1, 2, 3), heads=(4, 6, 8), stride=2),
    ),
    default_task=TaskSpec.image_classification(channels=1, height=28, width=28, classes=10),
)
"""For small images: 49 and 16 tokens at 28 pixels. Trains in minutes on two cores."""
