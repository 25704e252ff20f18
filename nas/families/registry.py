"""Families by name; packages add theirs under the entry point group ``hwnas.families``."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from nas.families.family import Family
from nas.families.mobilenet_v3.family import MobileNetV3Family
from nas.families.resnet.family import ResNetFamily
from nas.families.vit.family import ViTFamily
from search_spaces.errors import UnknownNameError, UsageError
from search_spaces.families import FamilyError, family_name, installed_families, load_family
from search_spaces.registry import space_names
from search_spaces.space import SearchSpace

if TYPE_CHECKING:
    from nas.supernet.supernet import Supernet

_BUILT_IN: Final[dict[str, Callable[[], Family]]] = {
    "mobilenet_v3": MobileNetV3Family,
    "resnet": ResNetFamily,
    "vit": ViTFamily,
}


def family_names() -> tuple[str, ...]:
    """Names of the installed families, sorted."""
    return tuple(sorted({*_BUILT_IN, *installed_families()}))


def get_family(name: str) -> Family:
    """A family by its name.

    Raises:
        UnknownNameError: if no installed family has this name.
        FamilyError: if another package's family cannot be loaded.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    if name not in installed_families():
        raise UnknownNameError("family", name, family_names())
    family = load_family(name)
    if not isinstance(family, Family):
        raise FamilyError(f"family {name!r} is a {type(family).__name__}, which does not derive from Family.")
    return family


def has_supernet(space: SearchSpace) -> bool:
    """Whether the networks of a space share weights."""
    return family_name(space.name) in family_names()


def family_of(space: SearchSpace) -> Family:
    """The family of a space.

    Raises:
        UsageError: if the space has no supernet.
        FamilyError: if another package's family cannot be loaded.
    """
    if not has_supernet(space):
        known = [name for name in space_names() if family_name(name) in family_names()]
        raise UsageError(f"{space.name} has no supernet; give one of {', '.join(known)}.")
    return get_family(family_name(space.name))


def build_supernet(space: SearchSpace, *, seed: int = 0) -> "Supernet":
    """The untrained supernet of a space; errors as :func:`family_of`."""
    return family_of(space).supernet(space, seed=seed)
