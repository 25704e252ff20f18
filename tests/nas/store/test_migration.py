"""Opening databases: new, current, racing, foreign, broken."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Connection, inspect, select, text

from nas.jobs import JobQueue
from nas.store import Store, open_store
from nas.store.database import Database
from nas.store.errors import StoreError, StoreUnavailableError
from nas.store.migration import _SCRIPTS, HEAD_REVISION, schema_revision
from nas.store.schema import Base
from nas.store.tables import EvaluationRow
from tests.nas.store.rows import PROFILE

_OPEN = "import sys; from nas.store import open_store; open_store(sys.argv[1]).close()"


def test_the_head_is_the_newest_script() -> None:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD_REVISION


def test_the_migrations_make_the_tables_of_the_code(store: Store) -> None:
    assert store.schema_revision() == HEAD_REVISION
    with store.database.connection() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_constraints_of_the_code_are_in_the_database(store: Store) -> None:
    with store.database.connection() as connection:
        found = {
            entry["name"]
            for table in Base.metadata.tables
            for entry in inspect(connection).get_check_constraints(table)
        }
    expected = {
        constraint.name
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    assert found == expected


def test_accuracies_of_the_first_schema_survive_as_of_an_unknown_version(database_url: str) -> None:
    database = Database(database_url)
    with database.connection() as connection:
        upgrade(connection, "0001")
        connection.execute(
            text("INSERT INTO supernets VALUES (:id, 's', '{}', 'd', :id, 'f', '{}', '2026-01-01 00:00:00.000000')"),
            {"id": "5" * 64},
        )
        connection.execute(
            text("INSERT INTO candidates VALUES (:id, 's', 'c', '[]', '{}', '2026-01-01 00:00:00.000000')"),
            {"id": "c" * 64},
        )
        connection.execute(
            text("INSERT INTO evaluations VALUES (:s, :c, 'val', 0.5, 10, '2026-01-01 00:00:00.000000')"),
            {"s": "5" * 64, "c": "c" * 64},
        )
    database.close()
    with open_store(database_url) as store:
        assert store.evaluations.of("5" * 64, "val") == {}
        with store.database.read() as session:
            (row,) = session.scalars(select(EvaluationRow))
            assert (row.candidate_id, row.accuracy, row.images) == ("c" * 64, 0.5, 10)
            assert row.evaluated_at == datetime(2026, 1, 1, tzinfo=UTC)
            assert row.runtime_version == "unknown"


def test_devices_and_jobs_of_one_host_stay_together(database_url: str) -> None:
    database = Database(database_url)
    with database.connection() as connection:
        upgrade(connection, "0007")
        now = {"now": "2026-01-01 00:00:00.000000"}
        connection.execute(
            text(
                "INSERT INTO agents (id, name, key_sha256, signing_key, session, created_at)"
                " VALUES ('1', 'phone', :hash, :hash, 0, :now)"
            ),
            now | {"hash": "a" * 64},
        )
        for device_id, host in (("my/own", "my"), ("local-cpu/tvm", "local-cpu"), ("phone/tvm", "phone")):
            profile = json.dumps(replace(PROFILE, id=device_id, device=host).as_json())
            connection.execute(
                text("INSERT INTO device_profiles VALUES (:id, :hash, :profile, :now)"),
                now | {"id": device_id, "hash": "a" * 64, "profile": profile},
            )
            connection.execute(
                text(
                    "INSERT INTO jobs (id, kind, request, state, fence, attempts, max_attempts, cancel_requested,"
                    " created_at) VALUES (:id, 'search', :request, 'queued', 0, 0, 1, false, :now)"
                ),
                now | {"id": device_id, "request": json.dumps({"device": device_id})},
            )
    database.close()
    with open_store(database_url) as store:
        hosts = {device.profile.id: device.profile.device for device in store.devices.all()}
        assert hosts == {"my/own": "local-cpu", "local-cpu/tvm": "local-cpu", "phone/tvm": "phone"}
        jobs = {job.id: (job.host, job.priority) for job in JobQueue(store).all()}
        assert jobs == {"my/own": ("local-cpu", 0), "local-cpu/tvm": ("local-cpu", 0), "phone/tvm": (None, 0)}


def upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def test_processes_that_race_to_make_the_database_all_open_it(database_url: str) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", _OPEN, database_url]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    with open_store(database_url) as store:
        assert store.devices.all() == ()


def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    open_store(database_url).close()
    database = Database(database_url)
    with database.connection() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer hwnas"):
        open_store(database_url)
    assert schema_revision(database) == "9999"
    database.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "hwnas.db"
    path.write_bytes(b"not a database, but long enough to have a header" * 40)
    with pytest.raises(StoreError, match=r"hwnas\.db cannot be used: file is not a database"):
        open_store(path)


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open database file"):
        open_store(tmp_path)


@pytest.mark.parametrize("url", ["mysql://host/name", "no url", "sqlite://", "sqlite:///:memory:"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:///PATH"):
        open_store(url)


def test_a_server_that_is_away_is_said_without_its_password() -> None:
    with pytest.raises(StoreUnavailableError) as caught:
        open_store("postgresql://user:secret@127.0.0.1:1/name")
    assert "secret" not in str(caught.value)


def test_a_store_opens_without_heavy_libraries() -> None:
    program = (
        "import sys, nas.store, nas.jobs;"
        "print(sorted({'torch', 'tvm', 'onnxruntime', 'onnx', 'optuna', 'xgboost', 'alembic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
