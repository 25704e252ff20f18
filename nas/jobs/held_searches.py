"""Searches run by a command: keeps their lease alive and lets other processes cancel them."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from nas.jobs.errors import JobCancelledError
from nas.jobs.heartbeat import heartbeat
from nas.progress import Progress
from nas.store import Store

_BEAT_S: Final = 5.0


class HeldSearches:
    """This process's searches while they run."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cancelled = threading.Event()

    def beat(self) -> bool:
        """Extends the leases and looks for a cancellation; always True."""
        if self._store.searches.renew():
            self._cancelled.set()
        return True

    def check_cancelled(self) -> None:
        """Call it between steps.

        Raises:
            JobCancelledError: if the search is to stop.
        """
        if self._cancelled.is_set():
            raise JobCancelledError("the search was cancelled; `hwnas search resume` continues it.")


class CancellableProgress:
    """Reports progress, and ends the task when its search is cancelled."""

    def __init__(self, progress: Progress, held: HeldSearches) -> None:
        self._progress = progress
        self._held = held

    def update(self, task: str, done: int, total: int, figures: Mapping[str, str] | None = None) -> None:
        """See :class:`nas.progress.Progress`."""
        self._held.check_cancelled()
        self._progress.update(task, done, total, figures)

    def say(self, message: str) -> None:
        """See :class:`nas.progress.Progress`."""
        self._progress.say(message)


@contextmanager
def holding_searches(store: Store, *, beat_s: float = _BEAT_S) -> Iterator[HeldSearches]:
    """Keeps the leases of this process's searches while the context is open.

    A search that still runs when it ends, because of an error or Ctrl-C, is interrupted at once.
    """
    held = HeldSearches(store)
    with heartbeat(held.beat, period_s=beat_s, name="search-lease"):
        try:
            yield held
        finally:
            store.searches.release()
