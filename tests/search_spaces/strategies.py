"""Hypothesis strategies over spaces and their genotypes."""

import numpy as np
from hypothesis import strategies as st

from search_spaces import resnet_config
from search_spaces.mobilenet_v3 import MobileNetV3Space
from search_spaces.mobilenet_v3_config import IMAGENET, IMAGENET_FUSED, TINY, TINY_FUSED
from search_spaces.resnet import ResNetSpace
from search_spaces.task import TaskSpec
from search_spaces.vit import ViTSpace
from search_spaces.vit_config import TINY as VIT_TINY

TASKS = (
    TaskSpec.image_classification(channels=1, height=28, width=28, classes=10),
    TaskSpec.image_classification(channels=3, height=32, width=32, classes=100),
    TaskSpec.image_classification(channels=3, height=96, width=72, classes=2),
)
SPACES = (
    *(MobileNetV3Space(TINY, task) for task in TASKS),
    MobileNetV3Space(IMAGENET),
    MobileNetV3Space(TINY_FUSED),
    MobileNetV3Space(IMAGENET_FUSED),
    *(ResNetSpace(resnet_config.TINY, task) for task in TASKS),
    ResNetSpace(resnet_config.IMAGENET),
    *(ViTSpace(VIT_TINY, task) for task in TASKS),
)


def genotypes(space):
    """Raw genotypes of one space: any choice of any gene, active or not."""
    return st.tuples(*(st.integers(0, int(n) - 1) for n in space.cardinalities)).map(
        lambda row: np.array(row, dtype=np.int64)
    )


def _with_genotypes(spaces):
    return st.sampled_from(spaces).flatmap(lambda space: st.tuples(st.just(space), genotypes(space)))


spaces = st.sampled_from(SPACES)
spaces_with_genotypes = _with_genotypes(SPACES)
mobilenets_with_genotypes = _with_genotypes([space for space in SPACES if isinstance(space, MobileNetV3Space)])
resnets_with_genotypes = _with_genotypes([space for space in SPACES if isinstance(space, ResNetSpace)])
vits_with_genotypes = _with_genotypes([space for space in SPACES if isinstance(space, ViTSpace)])
convolutional_with_genotypes = _with_genotypes([space for space in SPACES if not isinstance(space, ViTSpace)])
"""Spaces whose units pass on what their precision says; tokens pass in float."""
