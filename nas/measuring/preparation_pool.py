"""Prepares networks in other processes; each loads its weights once, and torch stays out of the one that asks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from nas.measuring.candidate_executor import ExecutorFactory
from nas.measuring.candidate_processes import CandidateProcesses
from nas.measuring.preparation import (
    InheritedAccuracy,
    NetworkPreparer,
    PreparationFailure,
    Prepared,
    PreparedFiles,
)
from nas.measuring.weight_source import WeightSource
from nas.quantization.sensitivity import NetworkSensitivity
from nas.training.memory import keep_freed_memory
from search_spaces.errors import NasError
from search_spaces.precision import Precision
from search_spaces.space import IntArray

PreparationOutcome = Prepared | PreparationFailure
SensitivityOutcome = NetworkSensitivity | PreparationFailure
AccuracyOutcome = InheritedAccuracy | PreparationFailure


@dataclass(slots=True)
class _ProcessState:
    """State of a pool's process between its tasks."""

    preparer: NetworkPreparer | None = None
    start_error: str = "the process was not started by the pool."


_state = _ProcessState()


def _start(source: WeightSource) -> None:
    keep_freed_memory()
    try:
        _state.preparer = NetworkPreparer(source)
    except NasError as error:
        # An error here would break the pool without a word; the first task reports it instead.
        _state.start_error = str(error)


def _prepare(genotype: IntArray) -> PreparationOutcome:
    return _preparer().prepare(genotype)


def _inherited_accuracy(genotype: IntArray) -> AccuracyOutcome:
    return _preparer().inherited_accuracy(genotype)


def _sensitivity(genotype: IntArray, precisions: tuple[Precision, ...]) -> SensitivityOutcome:
    return _preparer().sensitivity(genotype, precisions)


def _preparer() -> NetworkPreparer:
    if _state.preparer is None:
        raise NasError(_state.start_error)
    return _state.preparer


class PreparationPool:
    """A context manager over the processes; they start with the first network that is not there yet."""

    def __init__(
        self, source: WeightSource, *, executors: ExecutorFactory = CandidateProcesses, deadline_s: float = 600.0
    ) -> None:
        """The processes are local, unless ``executors`` makes others."""
        self.source = source
        self._executors = executors
        self._space = source.space
        self._files = PreparedFiles(source, self._space)
        self._processes = executors(_start, (source,), deadline_s=deadline_s)

    def with_source(self, source: WeightSource) -> "PreparationPool":
        """Another pool, for other weights, in processes of the same kind."""
        return PreparationPool(source, executors=self._executors)

    def __enter__(self) -> Self:
        self._processes.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._processes.__exit__(kind, error, trace)

    def prepare(
        self,
        genotypes: Sequence[IntArray],
        on_done: Callable[[int], None] = lambda _done: None,
    ) -> list[PreparationOutcome]:
        """One outcome per genotype, in order; ``on_done`` is called with the number done.

        Raises:
            NasError: if no process can load the weights.
        """
        outcomes: list[PreparationOutcome | None] = [self._files.find(genotype) for genotype in genotypes]
        missing = [genotype for genotype, outcome in zip(genotypes, outcomes, strict=True) if outcome is None]
        found = len(genotypes) - len(missing)
        made = iter(self._processes.run(_prepare, missing, self._failure, lambda done: on_done(found + done)))
        return [next(made) if outcome is None else outcome for outcome in outcomes]

    def inherited_accuracies(
        self,
        genotypes: Sequence[IntArray],
        on_done: Callable[[int], None] = lambda _done: None,
    ) -> list[AccuracyOutcome]:
        """Validation accuracies of float networks, not exported; otherwise like :meth:`prepare`."""
        return self._processes.run(_inherited_accuracy, genotypes, self._failure, on_done)

    def sensitivities(
        self,
        genotypes: Sequence[IntArray],
        precisions: tuple[Precision, ...],
        on_done: Callable[[int], None] = lambda _done: None,
    ) -> list[SensitivityOutcome]:
        """What each unit loses in each reduced precision alone, per architecture; otherwise like :meth:`prepare`."""
        return self._processes.run(partial(_sensitivity, precisions=precisions), genotypes, self._failure, on_done)

    def _failure(self, genotype: IntArray, reason: str) -> PreparationFailure:
        return PreparationFailure(candidate_id=self._space.candidate(genotype).id, message=reason)
