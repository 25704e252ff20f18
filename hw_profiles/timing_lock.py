"""A lock that allows one measurement at a time on a machine, across processes."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing to lock with
    fcntl = None  # type: ignore[assignment]


def timing_lock_path(folder: Path | None = None) -> Path:
    """The file that is locked, by default among the temporary ones; one per user."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    return (folder or Path(tempfile.gettempdir())) / f"hwnas-timing-{user}.lock"


class TimingLock:
    """Held while timing. A process that dies gives it up; without POSIX locks holding it does nothing.

    Threads are not bound to cores, so that the scheduler may move them away from a core that
    somebody else starts to use. What remains of others' load shows in the share of processor
    time (see ``reading``). Whether binding repeats better on an idle machine was not compared.
    """

    def __init__(self, folder: Path | None = None, on_wait: Callable[[bool], None] = lambda _waiting: None) -> None:
        """``on_wait`` is called with True before a wait for another holder, and with False after it."""
        self._path = timing_lock_path(folder)
        self._on_wait = on_wait
        self._handle: int | None = None

    def __enter__(self) -> "TimingLock":
        if fcntl is not None:
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._on_wait(True)
                fcntl.flock(self._handle, fcntl.LOCK_EX)
                self._on_wait(False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)
