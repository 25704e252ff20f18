"""Search spaces by name."""

from collections.abc import Callable
from functools import partial
from typing import Final

from search_spaces.errors import UnknownNameError
from search_spaces.fbnet import FbnetSpace
from search_spaces.mnasnet import MnasnetSpace
from search_spaces.mobilenet_v3 import MobileNetV3Space
from search_spaces.mobilenet_v3_config import IMAGENET, TINY
from search_spaces.nasbench201 import NasBench201Space
from search_spaces.space import SearchSpace
from search_spaces.task import ImageTask

_FACTORIES: Final[dict[str, Callable[[ImageTask | None], SearchSpace]]] = {
    "fbnet": FbnetSpace,
    "mnasnet": MnasnetSpace,
    "nasbench201": NasBench201Space,
    "mobilenet_v3:tiny": partial(MobileNetV3Space, TINY),
    "mobilenet_v3:imagenet": partial(MobileNetV3Space, IMAGENET),
}

_ALIASES: Final[dict[str, str]] = {"ofa_mobilenet_v3": "mobilenet_v3:imagenet"}
"""Space names in recorded tables that differ from ours."""


def space_names() -> tuple[str, ...]:
    """Canonical names, sorted."""
    return tuple(sorted(_FACTORIES))


def canonical_name(name: str) -> str:
    """The canonical name of a space or of an alias.

    Raises:
        UnknownNameError: where no space has this name.
    """
    resolved = _ALIASES.get(name, name)
    if resolved not in _FACTORIES:
        raise UnknownNameError("search space", name, tuple(sorted((*_FACTORIES, *_ALIASES))))
    return resolved


def get_space(name: str, task: ImageTask | None = None) -> SearchSpace:
    """A space bound to a task (default: the one that the space was published with).

    Raises:
        UnknownNameError: where no space has this name.
        UnsupportedTaskError: where the space cannot take the task.
    """
    return _FACTORIES[canonical_name(name)](task)
