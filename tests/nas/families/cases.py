"""Spaces that the contract of families is checked over: every space of every family, on small images, odd sides too."""

from nas.families.registry import family_names, get_family
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec

SMALL_TASKS = ((1, 28, 28, 10), (3, 24, 37, 5), (4, 61, 24, 100))
LARGE_TASKS = ((3, 64, 64, 7), (3, 64, 96, 7))
"""For spaces that were published with images above 64 pixels."""


def _tasks(name):
    return LARGE_TASKS if min(get_space(name).task.input.shape[1:]) > 64 else SMALL_TASKS


REGISTERED = [(name, task) for family in family_names() for name in get_family(family).spaces for task in _tasks(name)]
CASES = [*REGISTERED, *(("toy:small", task) for task in SMALL_TASKS)]
"""Name of a space; channels, height, width and classes of a task. The toy family's is installed by ``conftest.py``."""

_FIRST_CASES = {name: (name, task) for name, task in reversed(CASES)}
ONE_PER_FAMILY = [
    *{name.partition(":")[0]: case for name, case in _FIRST_CASES.items()}.values(),
    _FIRST_CASES["mobilenet_v3:tiny-fused"],
]
"""And the variant whose blocks are of another kind."""


def bound(case):
    """The space of a case."""
    name, (channels, height, width, classes) = case
    task = TaskSpec.image_classification(channels=channels, height=height, width=width, classes=classes)
    return get_space(name, task)


def label(case):
    """For the names of tests."""
    return f"{case[0]}-{'x'.join(map(str, case[1]))}"
