"""The databases that jobs are disturbed on, and their outages."""

import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Protocol

from search_spaces.errors import NasError

_DEBIAN: Final = Path("/usr/lib/postgresql")
_OWNER: Final = "postgres"


class PostgresMissingError(NasError):
    """PostgreSQL's server programs are not installed."""

    code: ClassVar[str] = "postgresql-missing"

    def __init__(self, program: str) -> None:
        super().__init__(
            f"{program} of PostgreSQL's server is not installed (Debian: the package postgresql); install it, or use"
            " --database sqlite."
        )


class ChaosDatabase(Protocol):
    """A database that can fail for a while."""

    @property
    def url(self) -> str:
        """As ``HWNAS_DATABASE_URL`` takes it."""
        ...

    def fail(self) -> None:
        """Makes it fail, and returns when it can be used again."""
        ...


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    """A file; while it fails, another program holds its write lock."""

    path: Path
    outage_s: float = 3.0

    @property
    def url(self) -> str:
        """See :class:`ChaosDatabase`."""
        return f"sqlite:///{self.path}"

    def fail(self) -> None:
        """See :class:`ChaosDatabase`."""
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(self.outage_s)
            connection.execute("ROLLBACK")


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """A server of its own; while it fails, it is stopped without a checkpoint, as in a crash, and recovers."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """See :class:`ChaosDatabase`."""
        return f"postgresql://{_OWNER}@127.0.0.1:{self.port}/hwnas"

    def start(self) -> None:
        """Starts the server."""
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c shared_buffers=16MB -c max_connections=60"
        self._control("-o", options, "start")

    def stop(self) -> None:
        """Ends the server's processes at once."""
        self._control("-m", "immediate", "stop")

    def fail(self) -> None:
        """See :class:`ChaosDatabase`."""
        self.stop()
        self.start()

    def _control(self, *words: str) -> None:
        _run(["pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", f"{self.folder}/log", *words], self.folder)


@contextmanager
def chaos_database(kind: str, folder: Path) -> Iterator[ChaosDatabase]:
    """A new database of a kind, ``sqlite`` or ``postgresql``; a server ends with the context.

    Raises:
        PostgresMissingError: if its programs are not installed.
    """
    if kind == "sqlite":
        yield SqliteDatabase(folder / "hwnas.db")
        return
    # Not in the folder: the server's user may not be allowed to go there.
    with tempfile.TemporaryDirectory(prefix="hwnas-postgresql-") as own, socket.socket() as free:
        place = Path(own)
        if os.geteuid() == 0:
            shutil.chown(place, _OWNER)
        free.bind(("127.0.0.1", 0))
        database = PostgresDatabase(place, free.getsockname()[1])
        free.close()
        _run(["initdb", "-D", f"{own}/data", "-U", _OWNER, "-A", "trust", "-E", "UTF8"], place)
        database.start()
        try:
            _run(["createdb", "-h", "127.0.0.1", "-p", str(database.port), "-U", _OWNER, "hwnas"], place)
            yield database
        finally:
            database.stop()


def _run(command: list[str], folder: Path) -> None:
    """Runs a program of the server, as its own user where root is not allowed to."""
    name, *words = command
    user = _OWNER if os.geteuid() == 0 else None
    done = subprocess.run([_program(name), *words], check=False, capture_output=True, text=True, cwd=folder, user=user)
    if done.returncode != 0:
        raise NasError(f"{name} failed: {(done.stderr or done.stdout).strip()[-300:]}")


def _program(name: str) -> str:
    """Debian keeps them outside the search path."""
    folders = sorted(_DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    for folder in folders:
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        raise PostgresMissingError(name)
    return found
