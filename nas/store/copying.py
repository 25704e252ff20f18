"""Copying a whole database into an empty one, between SQLite and PostgreSQL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Connection, Table, func, insert, inspect, select

from nas.progress import Progress
from nas.store import agent_tables, host_tables, service_tables, tables  # noqa: F401 - their rows are what is copied
from nas.store.database import Database
from nas.store.errors import StoreError
from nas.store.migration import HEAD_REVISION, migrate, schema_revision
from nas.store.schema import Base

_ROWS_AT_ONCE: Final = 500
_TASK: Final = "copy rows"


class TargetNotEmptyError(StoreError):
    """The database to copy to has rows or tables already."""

    code = "target-not-empty"


def copy_database(source_url: str, target_url: str, progress: Progress) -> Mapping[str, int]:
    """Copies every table from one view of the source in one transaction: the target gets all rows or none.

    Args:
        source_url: of a database at this version's schema revision.
        target_url: of an empty database, or of one that has the schema and no rows.
        progress: called with the number of rows that were copied.

    Returns:
        The number of rows by table, in the order in which they were copied.

    Raises:
        TargetNotEmptyError: if the target has rows or tables of something else.
        StoreError: if one of them cannot be used, or the source has another schema revision.
    """
    with _opened(source_url) as source, _opened(target_url) as target:
        _check_source(source)
        _check_target(target)
        migrate(target)
        with source.read() as reading, target.connection() as writing:
            return _copy(reading.connection(), writing, target.name, progress)


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.close()


def _check_source(source: Database) -> None:
    if not source.is_shared and not Path(source.url.database or "").is_file():  # connecting would make one
        raise StoreError(f"the source {source.name} does not exist; check its path.")
    revision = schema_revision(source)
    if revision is None:
        raise StoreError(f"the source {source.name} is not an hwnas database; check its URL.")
    if revision != HEAD_REVISION:
        raise StoreError(
            f"the source {source.name} is at schema revision {revision}, this version of hwnas at {HEAD_REVISION}:"
            " start a command of this version with HWNAS_DATABASE_URL set to the source to upgrade it, then copy it."
        )


def _check_target(target: Database) -> None:
    ours = set(Base.metadata.tables) | {"alembic_version"}
    with target.read() as session:
        connection = session.connection()
        found = set(inspect(connection).get_table_names())
        filled = [name for name in sorted(found & set(Base.metadata.tables)) if _has_rows(connection, name)]
    if found - ours or filled:
        what = f"tables of something else ({min(found - ours)})" if found - ours else f"rows in {', '.join(filled)}"
        raise TargetNotEmptyError(f"the target {target.name} has {what}; copy to an empty database.")


def _has_rows(connection: Connection, name: str) -> bool:
    return connection.execute(select(1).select_from(Base.metadata.tables[name]).limit(1)).first() is not None


def _copy(reading: Connection, writing: Connection, target: str, progress: Progress) -> Mapping[str, int]:
    ordered = Base.metadata.sorted_tables  # what is referred to comes first
    counts = {table.name: _count(reading, table) for table in ordered}
    total, done = sum(counts.values()), 0
    for table in ordered:
        rows = reading.execution_options(yield_per=_ROWS_AT_ONCE).execute(select(table).order_by(*table.primary_key))
        for part in rows.mappings().partitions():
            writing.execute(insert(table), [dict(row) for row in part])
            done += len(part)
            progress.update(_TASK, done, total, {"table": table.name})
        if (found := _count(writing, table)) != counts[table.name]:
            raise StoreError(
                f"the target {target} has {found} rows in {table.name}, not {counts[table.name]}: another program"
                " writes to it. Nothing was copied."
            )
        _continue_numbers(writing, table)
    return counts


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _continue_numbers(writing: Connection, table: Table) -> None:
    """PostgreSQL's sequences know nothing of numbers that were given: the next row would get number 1."""
    column = table.autoincrement_column
    if writing.dialect.name != "postgresql" or column is None or not isinstance(column.type, BigInteger):
        return
    sequence = func.pg_get_serial_sequence(table.name, column.name)
    last = writing.execute(select(func.max(column))).scalar_one()
    if last is not None:
        writing.execute(select(func.setval(sequence, last)))
