"""Checks that a SQLite database is still the file that was opened, and intact.

SQLite goes on with a file that was deleted or overwritten: what is in its page cache or in the write-ahead log is
read and written as before, and lost later. So the service looks for itself, always through SQLite: opening and
closing the file beside it would drop the locks that SQLite has on it (https://sqlite.org/howtocorrupt.html).
"""

import contextlib
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from nas.store.errors import StoreDamagedError

_CHECK_S: Final = 0.25
_TICK_NS: Final = 50_000_000
"""Several ticks of any clock that file systems use."""
_STEPS_BETWEEN_LOOKS: Final = 20_000
_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR")


def is_damage(sqlite_errorname: str) -> bool:
    """Whether SQLite's error means that the file is not, or no longer, a whole database."""
    return sqlite_errorname.startswith(_DAMAGE)


class SqliteFile:
    """The file of one open database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = Path(f"{path}-wal")
        self._identity: tuple[int, int] | None = None

    def opened(self) -> None:
        """Remembers which file it is; call it after each connection."""
        if self._identity is None:
            self._identity = self._now()

    def require_present(self) -> None:
        """Takes a few microseconds.

        Raises:
            StoreDamagedError: if the file was deleted or replaced since it was opened.
        """
        if self._identity is not None and self._now() != self._identity:
            raise StoreDamagedError(str(self._path), "the file was deleted or replaced while it was in use")

    def require_header(self) -> None:
        """Reads the first page of the file itself, whatever the caches and the log have; before each write.

        Raises:
            StoreDamagedError: if it is not a database's.
        """
        self.require_present()
        if self._identity is not None:
            self._query("PRAGMA schema_version", "&immutable=1")

    def stamp(self) -> tuple[int, ...] | None:
        """Differs after every commit, whichever process makes it; None if the files changed just now or are gone."""
        try:
            file = self._path.stat()
        except OSError:
            return None
        identity: tuple[int, ...] = (file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns)
        latest_ns = file.st_mtime_ns
        with contextlib.suppress(OSError):  # without a log, every commit is in the file
            log = self._log.stat()
            identity += (log.st_ino, log.st_size, log.st_mtime_ns)
            latest_ns = max(latest_ns, log.st_mtime_ns)
        # Commits in one tick of the clock that files are stamped by look the same.
        return identity if time.time_ns() - latest_ns > _TICK_NS else None

    def check(self) -> None:
        """Checks the pages, as many as a quarter of a second allows.

        Raises:
            StoreDamagedError: if the file was deleted, replaced or damaged.
        """
        self.require_header()
        found = self._query("PRAGMA quick_check(1)", "")
        if found not in (None, "ok"):
            raise StoreDamagedError(str(self._path), str(found).strip().splitlines()[-1])

    def _query(self, statement: str, options: str) -> object:
        """The statement's only value; None if the time was over before."""
        address = f"file:{quote(str(self._path.absolute()))}?mode=ro{options}"
        until = time.monotonic() + _CHECK_S
        try:
            with closing(sqlite3.connect(address, uri=True)) as connection:
                connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS_BETWEEN_LOOKS)
                value: object = connection.execute(statement).fetchone()[0]
                return value
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if is_damage(name):
                raise StoreDamagedError(str(self._path), str(error)) from error
            if name == "SQLITE_INTERRUPT":
                return None
            raise

    def _now(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_dev, status.st_ino)
