"""Stores on both databases: every test that asks for one runs on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nas.store import Store, open_store
from tests.databases import PostgresServer, SteppedClock


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'hwnas.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """A database of the present schema without rows."""
    return new_database(request.param)


@pytest.fixture
def store(store_url: str, clock: SteppedClock) -> Iterator[Store]:
    with open_store(store_url, clock=clock) as opened:
        yield opened
