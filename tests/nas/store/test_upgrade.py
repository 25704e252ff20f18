"""Databases of earlier versions are brought up to date with their rows."""

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from nas.store import open_store
from nas.store.database import Database
from nas.store.migration import _SCRIPTS
from tests.nas.store.rows import PROFILE, SPACE, SUPERNET_ID, front_body, front_member

_FRONT = "f" * 64


def _at_revision(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    with database.connection() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_fronts_and_searches_of_the_first_revision_are_kept(database_url: str) -> None:
    database = Database(database_url)
    _at_revision(database, "0001")
    rows = {"sha": SUPERNET_ID, "device": PROFILE.id, "space": SPACE.name, "now": "2026-01-01 00:00:00+00:00"}
    body = front_body([front_member("c" * 64, p95_ms=1.0, size_bytes=10, accuracy=0.5)])
    with database.connection() as connection:
        for statement in (
            "INSERT INTO device_profiles VALUES (:device, :sha, '{}', :now)",
            "INSERT INTO supernets (id, space, task, data_name, data_fingerprint, folder, metrics, created_at)"
            " VALUES (:sha, :space, '{}', 'fashion-mini', :sha, 'x', '{}', :now)",
            "INSERT INTO searches (id, profile_id, supernet_id, space, settings, state, seed, evaluations,"
            " created_at, updated_at) VALUES ('old', :device, :sha, :space, '{}', 'running', 1, 4, :now, :now)",
            "INSERT INTO candidates (id, space, canonical, genotype, candidate, created_at)"
            " VALUES (:member, :space, 'x', '[]', '{}', :now)",
            "INSERT INTO fronts (id, search_id, profile_id, space, supernet_id, body, etag, created_at)"
            " VALUES (:front, 'old', :device, :space, :sha, :body, :sha, :now)",
            "INSERT INTO front_members (front_id, position, candidate_id, measured, latency_p50_ms, latency_p95_ms,"
            " size_bytes, accuracy_val) VALUES (:front, 0, :member, :yes, 1, 2, 10, 0.5)",
        ):
            more = {"member": "c" * 64, "front": _FRONT, "body": body, "yes": True}
            every = rows | more
            names = {name: value for name, value in every.items() if f":{name}" in statement}
            connection.execute(text(statement), names)
    database.close()
    with open_store(database_url) as store:
        (member,) = store.fronts.members(_FRONT)
        assert (member.accuracy_expected, dict(member.metrics), member.values["accuracy"]) == (None, {}, 0.5)
        assert store.searches.get("old").evaluations == 4
