"""Spaces that the supernet's tests run over."""

from search_spaces.mobilenet_v3 import MobileNetV3Space
from search_spaces.mobilenet_v3_config import IMAGENET, TINY
from search_spaces.task import ImageTask

TINY_SPACES = tuple(
    MobileNetV3Space(TINY, ImageTask(channels=channels, height=height, width=width, classes=classes))
    for channels, height, width, classes in ((1, 28, 28, 10), (3, 32, 32, 2), (3, 24, 37, 5), (4, 61, 24, 100))
)
IMAGENET_SPACES = tuple(
    MobileNetV3Space(IMAGENET, ImageTask(channels=3, height=height, width=width, classes=7))
    for height, width in ((64, 64), (64, 96))
)
