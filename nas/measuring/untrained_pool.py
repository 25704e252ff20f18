"""Prepares untrained networks in local processes; torch stays out of the process that asks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from nas.measuring.candidate_processes import CandidateProcesses
from nas.measuring.preparation import PreparationFailure
from nas.measuring.untrained_networks import UntrainedOutcome, UntrainedPreparer
from search_spaces.errors import NasError
from search_spaces.registry import get_space
from search_spaces.space import IntArray, SearchSpace
from search_spaces.task import ImageTask


@dataclass(slots=True)
class _ProcessState:
    """What a pool's process holds between its tasks."""

    preparer: UntrainedPreparer | None = None


_state = _ProcessState()


def _start(space_name: str, task: ImageTask, cache: Path) -> None:
    _state.preparer = UntrainedPreparer(get_space(space_name, task), cache)


def _prepare(genotype: IntArray) -> UntrainedOutcome:
    if _state.preparer is None:
        raise NasError("the process was not started by the pool.")
    return _state.preparer.prepare(genotype)


class UntrainedPool:
    """A context manager over the processes; they start with the first network that is not there yet."""

    def __init__(
        self, space: SearchSpace, cache: Path, *, processes: int | None = None, deadline_s: float = 600.0
    ) -> None:
        self._space = space
        self._at_hand = UntrainedPreparer(space, cache)
        self._processes = CandidateProcesses(
            _start, (space.name, space.task, cache), processes=processes, deadline_s=deadline_s
        )

    def __enter__(self) -> Self:
        self._processes.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._processes.__exit__(kind, error, trace)

    def prepare(
        self, genotypes: Sequence[IntArray], on_done: Callable[[int], None] = lambda _done: None
    ) -> list[UntrainedOutcome]:
        """One outcome a genotype, in order; ``on_done`` hears how many are done."""
        outcomes = [self._at_hand.find(genotype) for genotype in genotypes]
        missing = [genotype for genotype, outcome in zip(genotypes, outcomes, strict=True) if outcome is None]
        found = len(genotypes) - len(missing)
        made = iter(self._processes.run(_prepare, missing, self._failure, lambda done: on_done(found + done)))
        return [next(made) if outcome is None else outcome for outcome in outcomes]

    def _failure(self, genotype: IntArray, reason: str) -> UntrainedOutcome:
        return PreparationFailure(candidate_id=self._space.candidate(genotype).id, message=reason)
