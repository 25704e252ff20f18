"""Families from other packages, found by entry points in the group ``hwnas.families``.

A family is a kind of supernet with its search spaces. Its entry point has the family's
name, and its spaces are called ``FAMILY`` or ``FAMILY:VARIANT``. Only its spaces matter
here; :mod:`nas.families` knows the rest. Importing the module that an entry point names
must not import torch: the REST service and the command line look up spaces without it.
"""

import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import ClassVar, Final, Protocol

from search_spaces.errors import NasError
from search_spaces.space import SpaceFactory

ENTRY_POINT_GROUP: Final = "hwnas.families"
"""Entry points name a class or function that gives a family when called without arguments."""


class FamilyError(NasError):
    """Another package's family that cannot be loaded or breaks the rules of its names."""

    code: ClassVar[str] = "bad-family"


class SpaceFamily(Protocol):
    """A family, as the registry of search spaces uses it."""

    @property
    def name(self) -> str:
        """Its entry point's name."""
        ...

    @property
    def spaces(self) -> Mapping[str, SpaceFactory]:
        """Its spaces by name: ``FAMILY`` or ``FAMILY:VARIANT``."""
        ...


def installed_families() -> tuple[str, ...]:
    """Names of other packages' families, sorted; nothing is loaded."""
    return tuple(sorted(_entry_points(tuple(sys.path))))


def load_family(name: str) -> SpaceFamily:
    """Another package's family.

    Raises:
        KeyError: if no entry point has this name.
        FamilyError: if it cannot be loaded, or a space of it has a name that is not its own.
    """
    point = _entry_points(tuple(sys.path))[name]
    try:
        family: SpaceFamily = point.load()()
        found, spaces = family.name, tuple(family.spaces)
    except Exception as error:  # another package's code can raise anything
        raise FamilyError(f"family {name!r} ({point.value}) cannot be loaded: {error}; repair its package.") from error
    foreign = [space for space in spaces if family_name(space) != name]
    if found != name or foreign:
        raise FamilyError(
            f"family {name!r} ({point.value}) calls itself {found!r} and its spaces {', '.join(spaces)};"
            f" they must be {name!r} and {name} or {name}:VARIANT."
        )
    return family


def family_name(space: str) -> str:
    """The family that a space of this name would belong to."""
    return space.partition(":")[0]


@lru_cache(maxsize=4)
def _entry_points(_path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Entry points by name; read anew when the import path changes, since reading takes milliseconds."""
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
