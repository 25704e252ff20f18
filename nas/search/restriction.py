"""Restriction of a search to a part of its space.

A search can be held to some precisions (one of them is a uniform policy) and to some
architectures (their policies are then what is searched). Whatever makes candidates, such as
sampling, mutation or a design, has its rows projected onto the part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hw_profiles.profile import DeviceProfile
from search_spaces.errors import UsageError, quoted
from search_spaces.space import BoolArray, IntArray, SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Restriction:
    """The candidates that a search may propose; by default all."""

    precisions: tuple[str, ...] | None = None
    """Precisions that a unit may have; None for all of the space's."""
    architectures: IntArray | None = None
    """Genotypes whose architectures are allowed, with any policy, shape ``(k, genes)``; None for all."""

    def check(self, space: SearchSpace) -> None:
        """Validates the restriction against a space.

        Raises:
            UsageError: if it allows nothing, or names a precision that the space does not have.
        """
        if self.architectures is not None and not len(self.architectures):
            raise UsageError("the restriction allows no architecture; allow at least one.")
        if self.precisions is None:
            return
        known = space.precisions
        unknown = [name for name in self.precisions if name not in known]
        if unknown or not self.precisions:
            raise UsageError(
                f"the search is restricted to {quoted(unknown[0]) if unknown else 'no precision'}; networks of"
                f" {space.name} have {', '.join(known)}."
            )

    def project(self, space: SearchSpace, genotypes: IntArray) -> IntArray:
        """The nearest allowed candidates, canonical, shape ``(n, genes)``; allowed ones stay as they are.

        A precision that is not allowed becomes the nearest one that is, in the order of the gene's
        choices; an architecture the nearest by the sum of gene distances, each as a share of the
        gene's range. The first of equals is taken.
        """
        rows = np.array(genotypes, dtype=np.int64)
        if self.architectures is not None and len(rows):
            rows = self._nearest_architectures(space, rows)
        if self.precisions is not None:
            for column in space.policy_columns:
                rows[:, column] = self._nearest_choices(space, int(column))[rows[:, column]]
        return space.canonicalize(rows)

    def allows(self, space: SearchSpace, genotypes: IntArray) -> BoolArray:
        """Which canonical candidates of shape ``(n, genes)`` are allowed, shape ``(n,)``."""
        return np.asarray((self.project(space, genotypes) == genotypes).all(axis=1))

    def _nearest_choices(self, space: SearchSpace, column: int) -> IntArray:
        choices = space.genes[column].choices
        allowed = np.array([choices.index(name) for name in self.precisions or () if name in choices], dtype=np.int64)
        if not len(allowed):
            raise UsageError(
                f"{space.genes[column].name} has none of the precisions {', '.join(self.precisions or ())}."
            )
        allowed.sort()
        nearest: IntArray = allowed[np.abs(np.arange(len(choices))[:, None] - allowed).argmin(axis=1)]
        return nearest

    def _nearest_architectures(self, space: SearchSpace, rows: IntArray) -> IntArray:
        assert self.architectures is not None
        columns = np.setdiff1d(np.arange(len(space.genes)), space.policy_columns)
        width = np.maximum(space.cardinalities[columns] - 1, 1)
        allowed = space.canonicalize(self.architectures)[:, columns] / width
        distinct, inverse = np.unique(space.canonicalize(rows)[:, columns], axis=0, return_inverse=True)
        distance = np.stack([np.abs(distinct / width - one).sum(axis=1) for one in allowed], axis=1)
        nearest = distance.argmin(axis=1)[inverse.ravel()]
        rows[:, columns] = space.canonicalize(self.architectures)[nearest][:, columns]
        return rows


def native_restriction(space: SearchSpace, profile: DeviceProfile) -> Restriction:
    """The default restriction on a device: float, and the precisions that its runtime executes natively."""
    natives = [name for name in space.precisions if profile.executes(name) == "native"]
    return Restriction(precisions=tuple(dict.fromkeys([space.precisions[0], *natives])))


def requested_restriction(space: SearchSpace, profile: DeviceProfile, precisions: Sequence[str] | None) -> Restriction:
    """The part of a space that is searched for a device: the precisions asked for, or :func:`native_restriction`.

    Raises:
        UsageError: for a precision that the space does not have or the device does not run.
    """
    if precisions is None:
        return native_restriction(space, profile)
    restriction = Restriction(precisions=tuple(precisions))
    restriction.check(space)
    unable = [name for name in precisions if profile.executes(name) is None]
    if unable:
        raise UsageError(f"{profile.id} does not execute {unable[0]}; it executes {', '.join(profile.precisions)}.")
    return restriction


def distinct_rows(genotypes: IntArray | Sequence[IntArray]) -> IntArray:
    """Distinct rows in the order of their first appearance."""
    rows = np.asarray(genotypes, dtype=np.int64)
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)]
