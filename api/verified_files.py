"""Files whose bytes are checked against their hash before they are sent."""

import hashlib
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

_KEPT: Final = 4096
_Identity = tuple[int, int, int, int, int]


class VerifiedFiles:
    """Remembers which files were found whole; a file is hashed again once its inode, size or times differ.

    Threads may share one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._whole: OrderedDict[tuple[Path, str], _Identity] = OrderedDict()

    def is_whole(self, path: Path, sha256: str) -> bool:
        """Whether the file is there and its bytes have this hash."""
        key = (path, sha256)
        try:
            identity = _identity(path.stat())
            with self._lock:
                if self._whole.get(key) == identity:
                    return True
            with path.open("rb") as file:
                # Of the open file: another one may have taken its name meanwhile.
                identity = _identity(os.fstat(file.fileno()))
                whole = hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except OSError:
            return False
        with self._lock:
            self._whole.pop(key, None)
            if whole:
                self._whole[key] = identity
            while len(self._whole) > _KEPT:
                self._whole.popitem(last=False)
        return whole


def _identity(status: os.stat_result) -> _Identity:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
