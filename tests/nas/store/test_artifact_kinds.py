"""Artifact kinds belong to the runtimes; databases of earlier versions knew four."""

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from nas.store import Store, open_store
from nas.store.artifacts import Artifact
from nas.store.database import Database
from nas.store.errors import StoreConflictError
from nas.store.migration import _SCRIPTS
from tests.nas.store.rows import put_candidates


def _artifact(candidate_id: str, kind: str, digit: str = "a") -> Artifact:
    path = f"{digit}/{digit}.bin"
    return Artifact(sha256=digit * 64, kind=kind, size_bytes=10, path=path, candidate_id=candidate_id)


def test_a_runtimes_own_kind_is_stored(store: Store) -> None:
    (candidate_id, *_) = put_candidates(store, 1)
    store.artifacts.put(_artifact(candidate_id, "third-runtime_1"))
    assert [one.kind for one in store.artifacts.of_candidate(candidate_id)] == ["third-runtime_1"]
    with pytest.raises(StoreConflictError):
        store.artifacts.put(_artifact(candidate_id, "Third", "b"))


def test_artifacts_of_an_earlier_version_stay_and_new_kinds_are_taken(database_url: str) -> None:
    database = Database(database_url)
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    with database.connection() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for statement in (
            "INSERT INTO candidates (id, space, canonical, genotype, candidate, created_at)"
            " VALUES (:id, 's', 'c', '[]', '{}', '2026-01-01 00:00:00')",
            "INSERT INTO artifacts (sha256, size_bytes, path, created_at) VALUES (:id, 1, 'p', '2026-01-01 00:00:00')",
            "INSERT INTO artifact_uses (candidate_id, kind, sha256) VALUES (:id, 'tvm', :id)",
        ):
            connection.execute(text(statement), {"id": "a" * 64})
    database.close()
    with open_store(database_url) as store:
        store.artifacts.put(_artifact("a" * 64, "third", "b"))
        with store.database.read() as session:
            found = session.execute(text("SELECT kind FROM artifact_uses ORDER BY kind")).scalars().all()
        assert found == ["third", "tvm"]
