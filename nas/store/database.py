"""Connections and short transactions, on SQLite or PostgreSQL.

Every write transaction on SQLite starts with ``BEGIN IMMEDIATE``: it waits its turn at
the start instead of failing in the middle, where a read has to become a write.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from nas.home import DiskFullError
from nas.store.errors import StoreConflictError, StoreDamagedError, StoreError, StoreUnavailableError
from nas.store.sqlite_file import SqliteFile, is_damage

Clock = Callable[[], datetime]
"""Gives the present moment, aware and in UTC."""

_KEPT_CONNECTIONS: Final = 5
_IDLE_TRANSACTION_MS: Final = 60_000
_WRITES: Final = "hwnas_writes"
_FULL: Final = {"SQLITE_FULL", "53100"}
_LATER: Final = {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_BUSY_SNAPSHOT", "40001", "40P01", "55P03", "57P03", "53300"}


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """Connections of one process to its database."""

    connections: int = 15
    wait_s: float = 10.0
    """Who waits longer for a free one is refused with :class:`StoreUnavailableError`."""
    busy_s: float = 30.0
    """So long a writer of SQLite waits for another one, before :class:`StoreUnavailableError`."""

    def as_options(self) -> dict[str, Any]:
        """SQLAlchemy's options of an engine."""
        kept = min(self.connections, _KEPT_CONNECTIONS)
        return {"pool_size": kept, "max_overflow": self.connections - kept, "pool_timeout": self.wait_s}


class Database:
    """An engine and its transactions; safe to share between threads, not across a fork."""

    def __init__(self, url: str, pool: PoolSettings | None = None) -> None:
        """Connects lazily.

        Raises:
            StoreError: if the URL is not one of SQLite or PostgreSQL.
        """
        self.url = _parse(url)
        self._pool = pool or PoolSettings()
        # While writers wait for each other, readers, who wait for nobody, still find a connection.
        self._write_turns = threading.BoundedSemaphore(max(1, self._pool.connections // 2))
        self._file: SqliteFile | None = None
        if self.url.get_backend_name() == "sqlite":
            self._file = SqliteFile(_sqlite_path(self.url))
            # Every transaction is a snapshot.
            self.engine = self._reading = _sqlite_engine(self.url, self._pool, self._file)
        else:
            self.engine = _postgresql_engine(self.url, self._pool)
            self._reading = self.engine.execution_options(isolation_level="REPEATABLE READ")
        self._writing = self.engine.execution_options(**{_WRITES: True})

    @property
    def name(self) -> str:
        """The URL without its password, for messages."""
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent view; nothing is kept.

        Raises:
            StoreError: if the database cannot be used.
        """
        with self._translated():
            if self._file is not None:
                self._file.require_present()
            with Session(self._reading, expire_on_commit=False) as session:
                yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction: kept whole on leaving, dropped whole on an error.

        Raises:
            StoreConflictError: if an invariant of the database refuses it.
            StoreUnavailableError: if the database is out of reach or stays busy.
            StoreDamagedError: if its file was deleted, replaced or damaged.
            DiskFullError: if the disk has no space.
            StoreError: for anything else that the database refuses.
        """
        with self._translated():
            if self._file is not None:
                self._file.require_header()
            with self._write_turn(), Session(self._writing, expire_on_commit=False) as session, session.begin():
                yield session

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """One write transaction without a session, for migrations; errors as :meth:`write`."""
        with self._translated(), self._writing.begin() as connection:
            yield connection

    def check(self) -> None:
        """Looks for damage; of PostgreSQL's files nothing is known here.

        Raises:
            StoreDamagedError: if the file of a SQLite database was deleted, replaced or damaged.
        """
        with self._translated():
            if self._file is not None:
                self._file.check()

    @property
    def is_shared(self) -> bool:
        """Whether the database is a server's, whose commits leave no trace on this host."""
        return self._file is None

    def stamp(self) -> tuple[int, ...] | None:
        """Differs after every commit, whichever process makes it; takes microseconds.

        None where it is not known: on PostgreSQL, and while SQLite's files change.
        """
        return None if self._file is None else self._file.stamp()

    def close(self) -> None:
        """Closes the pooled connections."""
        self.engine.dispose()

    @contextmanager
    def _write_turn(self) -> Iterator[None]:
        if not self._write_turns.acquire(timeout=self._pool.wait_s + self._pool.busy_s):
            raise StoreUnavailableError(f"too many changes wait for the database {self.name}; try again later.")
        try:
            yield
        finally:
            self._write_turns.release()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise StoreConflictError(f"the database refused a row: {_reason(error)}.") from error
        except (DataError, UnicodeError) as error:
            raise _unfit(error) from error
        except (DBAPIError, sqlite3.Error) as error:  # SQLAlchemy does not wrap errors of connecting
            raise self._refusal(error) from error
        except StatementError as error:
            raise _unfit(error) from error
        except PoolTimeoutError as error:
            raise StoreUnavailableError(
                f"all {self._pool.connections} connections to the database {self.name} are in use; try again later."
            ) from error

    def _refusal(self, error: DBAPIError | sqlite3.Error) -> Exception:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
        if code is not None and is_damage(code):
            return StoreDamagedError(self.name, _reason(error))
        if code in _FULL:
            return DiskFullError(f"no space left for the database {self.name}; free some and run the command again.")
        lost_connection = self.url.get_backend_name() != "sqlite" and isinstance(error, OperationalError)
        if code in _LATER or lost_connection:
            return StoreUnavailableError(
                f"the database {self.name} cannot be used now: {_reason(error)}; try again when it is up and less busy."
            )
        return StoreError(f"the database {self.name} cannot be used: {_reason(error)}.")


def insert_missing(session: Session, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts rows (keyed by column attribute) and skips those whose key is stored already."""
    if not rows:
        return
    if session.get_bind().dialect.name == "sqlite":
        session.execute(sqlite.insert(table).on_conflict_do_nothing(), rows)
    else:
        session.execute(postgresql.insert(table).on_conflict_do_nothing(), rows)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise StoreError(
            "the database URL cannot be read; use sqlite:///PATH or postgresql://USER@HOST/NAME."
        ) from error
    if parsed.get_backend_name() == "sqlite":
        return parsed
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise StoreError(
        f"databases of kind {parsed.get_backend_name()!r} are not supported;"
        " use sqlite:///PATH or postgresql://USER@HOST/NAME."
    )


def _postgresql_engine(url: URL, pool: PoolSettings) -> Engine:
    # A worker that was stopped inside a transaction must not hold its job's row for ever.
    options = f"{url.query.get('options', '')} -c idle_in_transaction_session_timeout={_IDLE_TRANSACTION_MS}"
    connect = {"connect_timeout": 10, "options": options}
    return create_engine(url, pool_pre_ping=True, connect_args=connect, **pool.as_options())


def _sqlite_path(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise StoreError("the database must be a file that several processes can share; use sqlite:///PATH.")
    return Path(url.database)


def _sqlite_engine(url: URL, pool: PoolSettings, file: SqliteFile) -> Engine:
    _sqlite_path(url).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, **pool.as_options())

    def set_up(connection: Any, _record: object) -> None:  # noqa: ANN401 - whatever DBAPI connects
        connection.isolation_level = None  # the driver's own BEGIN comes too late; see begin below
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {round(1000 * pool.busy_s)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        file.opened()
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", begin)
    return engine


def _unfit(error: StatementError | UnicodeError) -> StoreError:
    return StoreError(f"a value cannot be stored: {_reason(error)}; give finite numbers and plain text.")


def _reason(error: StatementError | UnicodeError | sqlite3.Error) -> str:
    original = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    return str(original).strip().splitlines()[0].rstrip(".")
