"""A pool of local processes that each work on one candidate at a time.

If a candidate kills or hangs its process, that candidate fails: the processes are started
again and the rest of the batch continues.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Final, Self

from nas.measuring.candidate_executor import Outcome
from search_spaces.space import IntArray

_GRACE_S: Final = 2.0


class CandidateProcesses:
    """A context manager over the processes; they start with the first batch, torch on one thread in each."""

    def __init__(
        self,
        start: Callable[..., None],
        arguments: tuple[Any, ...],
        *,
        processes: int | None = None,
        deadline_s: float = 600.0,
    ) -> None:
        """``start`` prepares a new process; it and its ``arguments`` must be picklable."""
        self._start = start
        self._arguments = arguments
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
        """Ends the processes, whatever they are doing; finished outcomes are kept."""
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

    def run(
        self,
        task: Callable[[IntArray], Outcome],
        genotypes: Sequence[IntArray],
        failed: Callable[[IntArray, str], Outcome],
        on_done: Callable[[int], None] = lambda _done: None,
    ) -> list[Outcome]:
        """See :class:`nas.measuring.candidate_executor.CandidateExecutor`."""
        outcomes: dict[int, Outcome] = {}
        waiting = list(range(len(genotypes)))
        alone = False
        while waiting:
            futures = [(index, self._submit(task, genotypes[index])) for index in (waiting[:1] if alone else waiting)]
            broken: Exception | None = None
            for index, future in futures:
                try:
                    outcomes[index] = future.result(timeout=self._deadline_s)
                except BrokenProcessPool as error:
                    broken = error
                    break
                except TimeoutError as error:
                    if future.done():  # the task's own
                        raise
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
                outcomes[index] = failed(genotypes[index], self._reason(broken))
                on_done(len(outcomes))
            # Whose process broke is only known when one candidate runs alone.
            alone = bool(waiting) and isinstance(broken, BrokenProcessPool) and not alone
        return [outcomes[index] for index in range(len(genotypes))]

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"it took longer than {self._deadline_s:g} s"
        return "the process that worked on it died"

    def _submit(self, task: Callable[[IntArray], Outcome], genotype: IntArray) -> "Future[Outcome]":
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                max_workers=self._processes,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_make_ready,
                initargs=(self._start, self._arguments),
            )
        return self._executor.submit(task, genotype)


def _end_with_parent() -> None:
    """Ends this process when its owner is gone, even if killed; it would wait for work forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _make_ready(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C is for the process that owns the others; it ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch  # noqa: PLC0415 - the process that owns the others need not import it

    torch.set_num_threads(1)
    start(*arguments)
