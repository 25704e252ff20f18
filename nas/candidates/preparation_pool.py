"""Prepares batches in local processes, one candidate a process at a time.

Each process loads the supernet once. A candidate that kills or hangs its process is a
failure of that candidate: the pool is made anew and the rest of the batch goes on.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self, TypeVar

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
Outcome = TypeVar("Outcome")
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


def _start(source: PreparerSource, threads: int) -> None:
    # Ctrl-C is for the process that owns the pool; it ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch  # noqa: PLC0415 - the process that owns the pool need not import it

    torch.set_num_threads(threads)
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
        self._source = source
        self._processes = processes or max(1, os.cpu_count() or 1)
        self._deadline_s = deadline_s
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self._executor is not None:
            self._executor.shutdown()
            self._executor = None
        self.kill()

    def kill(self) -> None:
        """Ends the processes at once, whatever they do; nothing finished is lost."""
        if self._executor is None:
            return
        running = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.kill()
        for process in running:
            process.join()
        self._executor = None

    def prepare(
        self,
        genotypes: Sequence[IntArray],
        on_done: Callable[[int], None] = lambda _done: None,
    ) -> list[PreparationOutcome]:
        """One outcome a genotype, in order; ``on_done`` hears how many are done.

        Raises:
            NasError: where no process can load the supernet.
        """
        return self._run(_prepare, genotypes, on_done)

    def inherited_accuracies(
        self,
        genotypes: Sequence[IntArray],
        on_done: Callable[[int], None] = lambda _done: None,
    ) -> list[AccuracyOutcome]:
        """Validation accuracies of float networks, not exported; otherwise as :meth:`prepare`."""
        return self._run(_inherited_accuracy, genotypes, on_done)

    def _run(
        self,
        task: Callable[[IntArray], Outcome | PreparationFailure],
        genotypes: Sequence[IntArray],
        on_done: Callable[[int], None],
    ) -> list[Outcome | PreparationFailure]:
        outcomes: dict[int, Outcome | PreparationFailure] = {}
        waiting = list(range(len(genotypes)))
        alone = False
        while waiting:
            batch = waiting[:1] if alone else waiting
            futures = [(index, self._submit(task, genotypes[index])) for index in batch]
            broken = None
            for index, future in futures:
                try:
                    outcomes[index] = future.result(timeout=self._deadline_s)
                except (BrokenProcessPool, TimeoutError) as error:
                    broken = error
                    break
                on_done(len(outcomes))
            waiting = [index for index in waiting if index not in outcomes]
            if broken is None:
                alone = False
                continue
            self.kill()
            if alone or isinstance(broken, TimeoutError):
                index = waiting.pop(0)
                outcomes[index] = self._failure(genotypes[index], broken)
                on_done(len(outcomes))
            # Whose process broke is only known when one candidate runs alone.
            alone = bool(waiting) and isinstance(broken, BrokenProcessPool) and not alone
        return [outcomes[index] for index in range(len(genotypes))]

    def _submit(
        self, task: Callable[[IntArray], Outcome | PreparationFailure], genotype: IntArray
    ) -> "Future[Outcome | PreparationFailure]":
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                max_workers=self._processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(self._source, 1),
            )
        return self._executor.submit(task, genotype)

    def _failure(self, genotype: IntArray, error: Exception) -> PreparationFailure:
        reason = (
            f"preparing took longer than {self._deadline_s:g} s"
            if isinstance(error, TimeoutError)
            else "the preparing process died"
        )
        return PreparationFailure(candidate_id=self._space.candidate(genotype).id, message=reason)
