"""Search spaces by name: those of hwnas, and those of the families that other packages install."""

from typing import Final

from search_spaces import mobilenet_v3, resnet, vit
from search_spaces.errors import UnknownNameError
from search_spaces.families import FamilyError, family_name, installed_families, load_family
from search_spaces.fbnet import FbnetSpace
from search_spaces.mnasnet import MnasnetSpace
from search_spaces.nasbench201 import NasBench201Space
from search_spaces.space import SearchSpace, SpaceFactory
from search_spaces.task import TaskSpec

_BUILT_IN: Final[dict[str, SpaceFactory]] = {
    "fbnet": FbnetSpace,
    "mnasnet": MnasnetSpace,
    "nasbench201": NasBench201Space,
    **mobilenet_v3.SPACES,
    **resnet.SPACES,
    **vit.SPACES,
}

_ALIASES: Final[dict[str, str]] = {"ofa_mobilenet_v3": "mobilenet_v3:imagenet"}
"""Space names in recorded tables that differ from ours."""


def space_names() -> tuple[str, ...]:
    """Canonical names, sorted; without those of families that cannot be loaded."""
    names = set(_BUILT_IN)
    for family in installed_families():
        try:
            names |= load_family(family).spaces.keys()
        except FamilyError:  # :func:`get_space` says why
            continue
    return tuple(sorted(names))


def canonical_name(name: str) -> str:
    """The canonical name of a space or of an alias.

    Raises:
        UnknownNameError: if no space has this name.
        FamilyError: if the name is of a family that cannot be loaded.
    """
    resolved = _ALIASES.get(name, name)
    _factory(resolved)
    return resolved


def get_space(name: str, task: TaskSpec | None = None) -> SearchSpace:
    """A space bound to a task (default: the one that the space was published with).

    Raises:
        UnknownNameError: if no space has this name.
        FamilyError: if the name is of a family that cannot be loaded.
        UnsupportedTaskError: if the space cannot take the task.
    """
    return _factory(canonical_name(name))(task)


def _factory(name: str) -> SpaceFactory:
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    family = family_name(name)
    spaces = load_family(family).spaces if family in installed_families() else {}
    if name not in spaces:
        raise UnknownNameError("search space", name, tuple(sorted((*space_names(), *_ALIASES))))
    return spaces[name]
