"""Spaces without a supernet on small images, odd sides among them, and as they were published."""

from search_spaces.registry import get_space
from search_spaces.space import SearchSpace
from search_spaces.task import TaskSpec


def _space(name: str, *shape: int) -> SearchSpace:
    channels, height, width = shape
    return get_space(name, TaskSpec.image_classification(channels=channels, height=height, width=width, classes=7))


SMALL_SPACES = (
    _space("nasbench201", 3, 16, 16),
    _space("fbnet", 3, 32, 32),
    _space("mnasnet", 3, 32, 32),
)
ODD_SPACES = (
    _space("nasbench201", 1, 13, 30),
    _space("fbnet", 1, 17, 30),
    _space("fbnet", 3, 67, 90),
    _space("mnasnet", 1, 45, 33),
)
PUBLISHED_SPACES = tuple(get_space(name) for name in ("nasbench201", "fbnet", "mnasnet"))


def label(space: SearchSpace) -> str:
    """For the names of tests."""
    return f"{space.name}-{'x'.join(str(side) for side in space.task.input.shape)}"
