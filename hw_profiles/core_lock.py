"""Cores set apart for timing: one measurement at a time on them, whichever process takes it."""

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing to lock with
    fcntl = None  # type: ignore[assignment]

_CAN_PIN: Final = hasattr(os, "sched_setaffinity")


class CoreLock:
    """While held, the calling thread runs on the last ``threads`` allowed cores, alone among measurements.

    Interrupts mostly go to the first cores. Where the system can neither pin nor lock, holding it does nothing.
    """

    def __init__(self, threads: int, folder: Path | None = None) -> None:
        self._all_cores: frozenset[int] = frozenset(os.sched_getaffinity(0)) if _CAN_PIN else frozenset()
        self.cores = frozenset(sorted(self._all_cores)[-threads:])
        self._folder = folder or Path(tempfile.gettempdir())
        self._handles: list[int] = []

    def __enter__(self) -> "CoreLock":
        if fcntl is not None:
            # In ascending order, so that two holders of several cores cannot wait for each other.
            for core in sorted(self.cores):
                path = self._folder / f"hwnas-{os.getuid()}-core{core}.lock"
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                self._handles.append(handle)
                fcntl.flock(handle, fcntl.LOCK_EX)
        if self.cores:
            os.sched_setaffinity(0, self.cores)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.cores:
            os.sched_setaffinity(0, self._all_cores)
        while self._handles:
            os.close(self._handles.pop())
