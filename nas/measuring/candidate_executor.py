"""Where work on candidates runs: in processes of this machine, or on a cluster."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from search_spaces.space import IntArray

Outcome = TypeVar("Outcome")


class CandidateExecutor(Protocol):
    """A context manager; nothing starts before the first batch.

    A candidate that kills or hangs its process fails alone. Work may run more than once, so that it must be the same
    each time.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def run(
        self,
        task: Callable[[IntArray], Outcome],
        genotypes: Sequence[IntArray],
        failed: Callable[[IntArray, str], Outcome],
        on_done: Callable[[int], None] = lambda _done: None,
    ) -> list[Outcome]:
        """One outcome per genotype, in order.

        Args:
            task: a module-level function; its errors end the batch.
            genotypes: canonical, each of shape ``(genes,)``.
            failed: makes the outcome of a genotype whose process died or hung, given the reason.
            on_done: called with the number done.
        """
        ...


class ExecutorFactory(Protocol):
    """Makes executors: :class:`~nas.measuring.candidate_processes.CandidateProcesses` is one."""

    def __call__(
        self, start: Callable[..., None], arguments: tuple[Any, ...], *, deadline_s: float
    ) -> CandidateExecutor:
        """An executor whose processes are prepared by ``start(*arguments)``, which must be picklable.

        A candidate may take ``deadline_s``.
        """
        ...
