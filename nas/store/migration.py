"""Migrates a database to the current schema with Alembic, once even if several processes open it."""

# ruff: noqa: PLC0415 - Alembic is for databases that are new or of an earlier version

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from nas.store.database import Database
from nas.store.errors import StoreError

HEAD_REVISION: Final = "0010"
"""The newest revision in ``migrations/versions``; known here so that opening a store need not import Alembic."""

_SCRIPTS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x68776E6173  # "hwnas"; the key of PostgreSQL's advisory lock


def schema_revision(database: Database) -> str | None:
    """The revision that a database is at; None where it holds no schema of hwnas.

    Raises:
        StoreError: if the database cannot be used.
    """
    with database.read() as session:
        return _revision(session.connection())


def migrate(database: Database) -> None:
    """Upgrades to :data:`HEAD_REVISION`, whole or not at all.

    Raises:
        StoreError: if the database was written by a newer hwnas or cannot be used.
    """
    if schema_revision(database) == HEAD_REVISION:
        return
    with database.connection() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        if _revision(connection) != HEAD_REVISION:  # another process may have been first
            _upgrade(connection, database.name)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return revision


def _upgrade(connection: Connection, database_name: str) -> None:
    # Only a fresh or old database needs Alembic: 0.1 s that every other command saves.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(
            f"the database {database_name} has a schema unknown to this version of hwnas ({error});"
            " use the newer hwnas that wrote it, or another database."
        ) from error
