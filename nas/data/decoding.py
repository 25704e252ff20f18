"""Decodes image files ahead of time in worker processes.

The order of what comes out is the order asked for, whatever the number of workers. In a process
that is a worker itself (one of those that prepare candidates) files are decoded there, since all
cores are at work already.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from typing import Final, Generic, TypeVar

from nas.data.dataset import ImageArray
from nas.data.images import ImageFiles, Images, chunk_rows

Result = TypeVar("Result")

_MOST_WORKERS: Final = 8
_AHEAD_PER_WORKER: Final = 2


def image_chunks(images: Images) -> Iterator[ImageArray]:
    """All images in order, in parts ``(k, height, width, channels)`` that take little memory.

    Raises:
        DataError: names a file that cannot be read.
    """
    if isinstance(images, ImageFiles):
        yield from in_workers(decode, (images.subset(rows) for rows in chunk_rows(images)))
    else:
        for rows in chunk_rows(images):
            yield images[rows]


def in_workers(task: Callable[[ImageFiles], Result], parts: Iterable[ImageFiles]) -> Iterator[Result]:
    """What a module-level function makes of parts of the files, in order; the next ones are at work meanwhile."""
    waiting: deque[_Request[Result]] = deque()
    try:
        for part in parts:
            waiting.append(DECODERS.submit(task, part))
            if len(waiting) > DECODERS.ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for request in waiting:
            request.cancel()


def decode(files: ImageFiles) -> ImageArray:
    """All images of these files; errors as :meth:`ImageFiles.__getitem__`."""
    return files[:]


class DecodedAhead:
    """Images by position; the next ones in the sequence are decoded in advance."""

    def __init__(self, files_at: Callable[[int], ImageFiles]) -> None:
        """``files_at`` gives the files of any position from 0; positions past the end are asked for, too."""
        self._files_at = files_at
        self._waiting: dict[int, _Request[ImageArray]] = {}
        self._lock = threading.Lock()

    def at(self, position: int) -> ImageArray:
        """The images of a position.

        Raises:
            DataError: names a file that cannot be read.
        """
        with self._lock:
            wanted = range(position, position + 1 + DECODERS.ahead)
            for old in [key for key in self._waiting if key not in wanted]:
                self._waiting.pop(old).cancel()
            for key in wanted:
                if key not in self._waiting:
                    self._waiting[key] = DECODERS.submit(decode, self._files_at(key))
            request = self._waiting.pop(position)
        return request.result()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Request(Generic[Result]):
    """Work on files, in a worker if there is one."""

    task: Callable[[ImageFiles], Result]
    files: ImageFiles
    future: Future[Result] | None

    def result(self) -> Result:
        """Waits; without a worker, or if it died, the work is done here."""
        if self.future is not None:
            with contextlib.suppress(BrokenProcessPool):
                return self.future.result()
        return self.task(self.files)

    def cancel(self) -> None:
        """Nobody waits any more."""
        if self.future is not None:
            self.future.cancel()


class _Decoders:
    """The worker processes of this process; they start with the first files and end with it."""

    def __init__(self) -> None:
        self._executor: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()

    @property
    def workers(self) -> int:
        """How many there are; 0 in a process that is a worker itself."""
        if multiprocessing.parent_process() is not None:
            return 0
        return min(_MOST_WORKERS, os.cpu_count() or 1)

    @property
    def ahead(self) -> int:
        """How many parts are at work before they are asked for."""
        return self.workers * _AHEAD_PER_WORKER

    def submit(self, task: Callable[[ImageFiles], Result], files: ImageFiles) -> "_Request[Result]":
        """Starts the work; workers that died are replaced."""
        future: Future[Result] | None = None
        if self.workers:
            with self._lock:
                for _ in range(2):
                    try:
                        future = self._started().submit(task, files)
                        break
                    except BrokenProcessPool:
                        self._executor = None
        return _Request(task=task, files=files, future=future)

    def _started(self) -> ProcessPoolExecutor:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                self.workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
            )
        return self._executor


DECODERS: Final = _Decoders()


def _start_worker() -> None:
    """Ctrl-C is the parent's to handle, and a worker does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    with contextlib.suppress(OSError):
        connection.wait([sentinel])
    os._exit(1)
