"""Prepares a supernet's candidates in local processes; each loads the supernet once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from nas.candidates.candidate_processes import CandidateProcesses
from nas.candidates.preparation import (
    CandidatePreparer,
    InheritedAccuracy,
    PreparationFailure,
    PreparationImages,
    PreparationSettings,
    Prepared,
)
from search_spaces.errors import NasError
from search_spaces.space import IntArray, SearchSpace


class ChangedDataError(NasError):
    """Data that is not what a supernet was trained on."""

    code: ClassVar[str] = "changed-data"


PreparationOutcome = Prepared | PreparationFailure
AccuracyOutcome = InheritedAccuracy | PreparationFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparerSource:
    """What a process needs to make its own preparer."""

    supernet_folder: Path
    data: str
    """As given to ``--data``."""
    cache: Path
    settings: PreparationSettings


def make_preparer(source: PreparerSource) -> CandidatePreparer:
    """Loads supernet and images.

    Raises:
        NasError: where the supernet or its data cannot be loaded, or the data changed.
    """
    from nas.data.sources import load_dataset  # noqa: PLC0415 - the process that owns the pool needs none of these
    from nas.training.prepared_data import prepare  # noqa: PLC0415
    from nas.training.record import load_supernet  # noqa: PLC0415

    supernet, record = load_supernet(source.supernet_folder)
    dataset = load_dataset(source.data)
    if dataset.fingerprint != record.data_fingerprint:
        raise ChangedDataError(
            f"the data set {source.data} is not what the supernet was trained on (its content changed);"
            " restore it, or train again."
        )
    images = PreparationImages.of(prepare(dataset, record.settings), source.settings)
    return CandidatePreparer(supernet.space, supernet, images, source.cache)


@dataclass(slots=True)
class _ProcessState:
    """What a pool's process holds between its tasks."""

    preparer: CandidatePreparer | None = None
    start_error: str = "the process was not started by the pool."


_state = _ProcessState()


def _start(source: PreparerSource) -> None:
    from nas.training.memory import keep_freed_memory  # noqa: PLC0415

    keep_freed_memory()
    try:
        _state.preparer = make_preparer(source)
    except NasError as error:
        # An error here would break the pool without a word; the first task tells it instead.
        _state.start_error = str(error)


def _prepare(genotype: IntArray) -> PreparationOutcome:
    return _preparer().prepare(genotype)


def _inherited_accuracy(genotype: IntArray) -> AccuracyOutcome:
    return _preparer().inherited_accuracy(genotype)


def _preparer() -> CandidatePreparer:
    if _state.preparer is None:
        raise NasError(_state.start_error)
    return _state.preparer


class PreparationPool:
    """A context manager over the processes; they start with the first batch."""

    def __init__(
        self, space: SearchSpace, source: PreparerSource, *, processes: int | None = None, deadline_s: float = 600.0
    ) -> None:
        self._space = space
        self._processes = CandidateProcesses(_start, (source,), processes=processes, deadline_s=deadline_s)

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
        """One outcome a genotype, in order; ``on_done`` hears how many are done.

        Raises:
            NasError: where no process can load the supernet.
        """
        return self._processes.run(_prepare, genotypes, self._failure, on_done)

    def inherited_accuracies(
        self,
        genotypes: Sequence[IntArray],
        on_done: Callable[[int], None] = lambda _done: None,
    ) -> list[AccuracyOutcome]:
        """Validation accuracies of float networks, not exported; otherwise as :meth:`prepare`."""
        return self._processes.run(_inherited_accuracy, genotypes, self._failure, on_done)

    def _failure(self, genotype: IntArray, reason: str) -> PreparationFailure:
        return PreparationFailure(candidate_id=self._space.candidate(genotype).id, message=reason)
