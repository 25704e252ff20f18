"""Prepares untrained networks in local processes; torch stays out of the process that asks."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from nas.calibration.untrained_networks import UntrainedOutcome, UntrainedPreparer
from nas.candidates.preparation import PreparationFailure
from search_spaces.errors import NasError
from search_spaces.mobilenet_v3 import MobileNetV3Space
from search_spaces.registry import get_space
from search_spaces.space import IntArray
from search_spaces.task import ImageTask

_GRACE_S: Final = 2.0


@dataclass(slots=True)
class _ProcessState:
    """What a pool's process holds between its tasks."""

    preparer: UntrainedPreparer | None = None


_state = _ProcessState()


def _start(space_name: str, task: ImageTask, cache: Path) -> None:
    # Ctrl-C is for the process that owns the pool; it ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)
    space = get_space(space_name, task)
    if isinstance(space, MobileNetV3Space):
        _state.preparer = UntrainedPreparer(space, cache)


def _prepare(genotype: IntArray) -> UntrainedOutcome:
    if _state.preparer is None:
        raise NasError("the process was not started by the pool.")
    return _state.preparer.prepare(genotype)


class UntrainedPool:
    """A context manager over the processes; they start with the first network that is not there yet.

    A candidate that kills or hangs its process is a failure of that candidate; the rest go on.
    """

    def __init__(
        self, space: MobileNetV3Space, cache: Path, *, processes: int | None = None, deadline_s: float = 600.0
    ) -> None:
        self._space = space
        self._cache = cache
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
        """Ends the processes, whatever they do; what they finished is in the cache."""
        if self._executor is None:
            return
        processes = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        # Idle ones end by themselves, and tidy up; the others are not waited for.
        until_s = time.monotonic() + _GRACE_S
        for process in processes:
            process.join(max(0.0, until_s - time.monotonic()))
            process.kill()
            process.join()
        self._executor = None

    def prepare(
        self, genotypes: Sequence[IntArray], on_done: Callable[[int], None] = lambda _done: None
    ) -> list[UntrainedOutcome]:
        """One outcome a genotype, in order; ``on_done`` hears how many are done."""
        at_hand = UntrainedPreparer(self._space, self._cache)
        outcomes: dict[int, UntrainedOutcome] = {
            index: files for index, genotype in enumerate(genotypes) if (files := at_hand.find(genotype)) is not None
        }
        missing = [index for index in range(len(genotypes)) if index not in outcomes]
        together = [(index, self._submit(genotypes[index])) for index in missing]
        for index, future in together:
            outcome = self._result(future)
            if not isinstance(outcome, NasError):
                outcomes[index] = outcome
                on_done(len(outcomes))
                continue
            # Whose process broke is only known when each runs alone.
            break
        for index in range(len(genotypes)):
            if index not in outcomes:
                outcomes[index] = self._alone(genotypes[index])
                on_done(len(outcomes))
        return [outcomes[index] for index in range(len(genotypes))]

    def _alone(self, genotype: IntArray) -> UntrainedOutcome:
        outcome = self._result(self._submit(genotype))
        if isinstance(outcome, NasError):
            return PreparationFailure(candidate_id=self._space.candidate(genotype).id, message=str(outcome))
        return outcome

    def _result(self, future: "Future[UntrainedOutcome]") -> UntrainedOutcome | NasError:
        try:
            return future.result(timeout=self._deadline_s)
        except BrokenProcessPool:
            self.kill()
            return NasError("the preparing process died")
        except TimeoutError:
            self.kill()
            return NasError(f"preparing took longer than {self._deadline_s:g} s")

    def _submit(self, genotype: IntArray) -> "Future[UntrainedOutcome]":
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                max_workers=self._processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(self._space.name, self._space.task, self._cache),
            )
        return self._executor.submit(_prepare, genotype)
