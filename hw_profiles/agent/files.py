"""Files of tasks, stored by hash and checked before every use."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from hw_profiles.agent.tasks import TaskFile
from hw_profiles.errors import MeasuringError

_KEPT_BYTES: Final = 4 << 30


class FileRefusedError(MeasuringError):
    """A file that is not what the signed task says."""


class TaskFiles:
    """A folder of files named by their hash; the ones used longest ago are removed first."""

    def __init__(self, folder: Path, download: Callable[[str], Iterable[bytes]], kept_bytes: int = _KEPT_BYTES) -> None:
        """``download`` gives the bytes of a hash in pieces; its errors pass through."""
        self._folder = folder
        self._download = download
        self._kept_bytes = kept_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, file: TaskFile) -> Path:
        """Where the file lies, downloaded if it is not here or has changed.

        Raises:
            FileRefusedError: if what comes has another size or hash.
        """
        path = self._folder / f"{file.sha256}{file.suffix}"
        if _is(path, file):
            os.utime(path)
            return path
        self._remove_oldest(file.size_bytes)
        handle, name = tempfile.mkstemp(dir=self._folder, prefix=".part-")
        unfinished = Path(name)
        try:
            with os.fdopen(handle, "wb") as out:
                self._receive(file, out.write)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        return path

    def _receive(self, file: TaskFile, write: Callable[[bytes], object]) -> None:
        digest, size = hashlib.sha256(), 0
        for piece in self._download(file.sha256):
            size += len(piece)
            if size > file.size_bytes:
                raise FileRefusedError(
                    f"file {file.sha256[:12]} is larger than the {file.size_bytes} bytes stated in the signed task."
                )
            digest.update(piece)
            write(piece)
        if size < file.size_bytes:
            raise FileRefusedError(
                f"file {file.sha256[:12]} is truncated: {size} of {file.size_bytes} bytes were received."
            )
        if digest.hexdigest() != file.sha256:
            raise FileRefusedError(f"file {file.sha256[:12]} is forged or damaged: its SHA-256 differs.")

    def _remove_oldest(self, wanted_bytes: int) -> None:
        files = sorted((path for path in self._folder.iterdir()), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in files) + wanted_bytes
        for path in files:
            if total <= self._kept_bytes:
                return
            total -= path.stat().st_size
            path.unlink(missing_ok=True)


def _is(path: Path, file: TaskFile) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as opened:
        if os.fstat(opened.fileno()).st_size == file.size_bytes:
            return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
    return False
