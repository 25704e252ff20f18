"""One thread of arithmetic for all tests, and no test that depends on the time it takes.

Their networks are tiny: a second thread waits more than it computes, several times so on a busy machine. Set
before torch, XGBoost and BLAS are loaded, which read it once; a variable that is set already stays.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.databases import PostgresServer, missing_postgres, running_postgres

settings.register_profile("hwnas", deadline=None)
settings.load_profile("hwnas")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    if reason := missing_postgres():
        pytest.skip(reason)
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the present schema without rows; copying it is a hundred times faster than migrating."""
    from nas.store import open_store  # noqa: PLC0415 - tests without a store need not load it

    path = tmp_path_factory.mktemp("template") / "hwnas.db"
    open_store(path).close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """The same on PostgreSQL: a name to copy from."""
    from nas.store import open_store  # noqa: PLC0415 - as above

    url = postgres_server.create_database()
    open_store(url).close()
    return url.rpartition("/")[2]


@pytest.fixture
def new_database(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path
) -> Iterator[Callable[[str], str]]:
    """Makes a database of the present schema, ``sqlite`` (``hwnas.db`` in ``tmp_path``) or ``postgresql``."""
    urls: list[str] = []

    def make(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'hwnas.db')}"
        urls.append(
            request.getfixturevalue("postgres_server").create_database(request.getfixturevalue("postgres_template"))
        )
        return urls[-1]

    yield make
    for url in urls:
        request.getfixturevalue("postgres_server").drop_database(url)
