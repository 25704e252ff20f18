"""Generations of a search: candidates evaluated together, and the look-ups before them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nas.search.outcome import Outcome
from predictors.known_accuracy import KnownAccuracies
from search_spaces.space import IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generation:
    """Candidates proposed and evaluated together; ``genotypes`` has one row per outcome."""

    number: int
    genotypes: IntArray
    outcomes: tuple[Outcome, ...]
    lookups: KnownAccuracies | None = None
    """Float accuracies looked up to choose these candidates; None where there were none."""


class Journal(Protocol):
    """Storage of a search's generations."""

    def generations(self) -> Sequence[Generation]:
        """All generations so far, by number."""
        ...

    def append(self, generation: Generation) -> None:
        """Writes the next generation."""
        ...
