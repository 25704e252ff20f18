"""Databases that are copied between SQLite and PostgreSQL."""

from pathlib import Path

import pytest
from sqlalchemy import select

from nas.home import Home
from nas.jobs.queue import JobQueue
from nas.jobs.submission import NewBatch, NewJob, Origin, Submissions
from nas.progress import SilentProgress
from nas.store import open_store
from nas.store.copying import TargetNotEmptyError, copy_database
from nas.store.database import Database
from nas.store.errors import StoreError
from nas.store.schema import Base
from tests.api.conftest import fill
from tests.databases import PostgresServer
from tests.nas.predictors_at_hand import put_latency_predictor
from tests.nas.store.rows import PROFILE, SPACE, measurement

REQUEST = {"device": PROFILE.id, "space": SPACE.name}


class _Steps(SilentProgress):
    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []

    def update(self, task: str, done: int, total: int, figures: object = None) -> None:  # noqa: ARG002
        self.steps.append((done, total))


def _rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    database = Database(url)
    with database.read() as session:
        found = {
            table.name: [tuple(row) for row in session.execute(select(table).order_by(*table.primary_key))]
            for table in Base.metadata.sorted_tables
        }
    database.close()
    return found


@pytest.fixture
def filled(tmp_path: Path) -> str:
    """The URL of a SQLite database with rows in most tables."""
    url = f"sqlite:///{tmp_path / 'source.db'}"
    with open_store(url) as store:
        fill(store, Home(tmp_path))
        put_latency_predictor(Home(tmp_path), store)
        store.api_keys.create(name="notebook", tenant="vision", scopes=frozenset({"read"}))
        store.agents.create("lab")
        origin = Origin(tenant="vision", idempotency_key="night-1", fingerprint="f" * 64)
        jobs = [NewJob(kind="search", request=REQUEST), NewJob(kind="calibration", request=REQUEST)]
        Submissions(store).submit(jobs, origin, batch=NewBatch(name="both"))
        assert JobQueue(store).claim("here:1", kinds=("search",), lease_s=60) is not None
    return url


def test_there_and_back(filled: str, postgres_server: PostgresServer, tmp_path: Path) -> None:
    middle, end = postgres_server.create_database(), f"sqlite:///{tmp_path / 'end.db'}"
    progress = _Steps()
    counts = copy_database(filled, middle, progress)
    rows = _rows(filled)
    assert counts == {name: len(found) for name, found in rows.items()}
    assert sum(map(bool, counts.values())) >= 14
    assert progress.steps[-1] == (sum(counts.values()), sum(counts.values()))
    assert _rows(middle) == rows
    copy_database(middle, end, SilentProgress())
    assert _rows(end) == rows
    for url in (middle, end):  # the copy goes on where the source was
        with open_store(url) as store:
            last = max(int(row[0]) for row in rows["measurements"])  # type: ignore[call-overload]
            store.measurements.add(measurement(str(rows["measurements"][0][1])))
        assert [row[0] for row in _rows(url)["measurements"]][-1] == last + 1
    with pytest.raises(TargetNotEmptyError, match="rows in"):
        copy_database(filled, middle, SilentProgress())


def test_what_is_not_to_be_copied_is_refused(filled: str, tmp_path: Path) -> None:
    with pytest.raises(TargetNotEmptyError, match="rows in"):
        copy_database(filled, filled, SilentProgress())
    with pytest.raises(StoreError, match=r"missing\.db does not exist"):
        copy_database(f"sqlite:///{tmp_path / 'missing.db'}", f"sqlite:///{tmp_path / 'new.db'}", SilentProgress())
    assert not (tmp_path / "missing.db").exists()
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    with other.connection() as connection:
        connection.exec_driver_sql("CREATE TABLE invoices (id INTEGER)")
    with pytest.raises(TargetNotEmptyError, match="something else"):
        copy_database(filled, f"sqlite:///{tmp_path / 'other.db'}", SilentProgress())
    with pytest.raises(StoreError, match="not an hwnas database"):
        copy_database(f"sqlite:///{tmp_path / 'other.db'}", f"sqlite:///{tmp_path / 'new.db'}", SilentProgress())
    other.close()
    source = Database(filled)
    with source.connection() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(StoreError, match="revision 0001"):
        copy_database(filled, f"sqlite:///{tmp_path / 'new.db'}", SilentProgress())
    source.close()
