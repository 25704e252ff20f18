"""Real databases for tests: SQLite files, and a PostgreSQL server of the test session's own."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import psycopg

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


def postgres_binary(name: str) -> str | None:
    """A program of PostgreSQL's server: Debian keeps them outside the search path."""
    for folder in reversed(_BINARIES):
        if (folder / name).exists():
            return str(folder / name)
    return shutil.which(name)


@dataclass(slots=True)
class PostgresServer:
    """A running server that makes empty databases."""

    port: int
    numbers: Iterator[int] = field(default_factory=count)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template1") -> str:
        """The URL of a new database: empty, or a copy of another one, which nobody may be connected to."""
        name = f"test_{next(self.numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server on a free loopback port; as user postgres where the tests run as root, which it refuses.

    Its folder is not pytest's: every pytest session closes those to other users when it starts.
    """
    with tempfile.TemporaryDirectory(prefix="hwnas-postgresql-") as folder:
        yield from _serve(Path(folder))


def _serve(folder: Path) -> Iterator[PostgresServer]:
    as_user: dict[str, str | int] = {}
    if os.geteuid() == 0:
        as_user["user"] = "postgres"
        shutil.chown(folder, "postgres")
    data = folder / "data"
    subprocess.run(
        [postgres_binary("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True, capture_output=True, cwd=folder, **as_user,
    )  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off -c shared_buffers=16MB -c max_connections=60"
    control = [postgres_binary("pg_ctl"), "-D", data, "-w", "-l", folder / "log"]
    subprocess.run([*control, "-o", options, "start"], check=True, capture_output=True, cwd=folder, **as_user)
    try:
        yield PostgresServer(port)
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder, **as_user)


def missing_postgres() -> str | None:
    """Why there can be no server here, or None."""
    if postgres_binary("initdb") is None or postgres_binary("pg_ctl") is None:
        return "PostgreSQL's server programs are not installed (Debian: postgresql)"
    if os.geteuid() == 0 and "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
        return "PostgreSQL does not run as root and there is no user postgres"
    return None


@dataclass(slots=True)
class SteppedClock:
    """A clock that moves when told."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
