"""Jobs go to the host of their device, by priority, and within the quotas of API keys."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ONLY_HOST = "local-cpu"
"""The one host that there was."""


def upgrade() -> None:
    """Applies this revision."""
    op.create_table(
        "hosts",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("machine", sa.String(length=200), nullable=False),
        sa.Column("home", sa.String(length=64), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hosts")),
    )
    op.add_column("jobs", sa.Column("host", sa.String(length=200), nullable=True))
    # Column and constraint in one statement: SQLite adds a constraint in no other way.
    for table, column in (
        (
            "jobs",
            "priority INTEGER NOT NULL DEFAULT 0 CONSTRAINT ck_jobs_priority CHECK (priority BETWEEN -100 AND 100)",
        ),
        ("jobs", "api_key_id VARCHAR(64) CONSTRAINT fk_jobs_api_key_id REFERENCES api_keys (id)"),
        (
            "measurements",
            "api_key_id VARCHAR(64) CONSTRAINT fk_measurements_api_key_id REFERENCES api_keys (id)",
        ),
        ("api_keys", "max_queued INTEGER CONSTRAINT ck_api_keys_max_queued CHECK (max_queued > 0)"),
        (
            "api_keys",
            "max_measurements_per_day INTEGER CONSTRAINT ck_api_keys_max_measurements_per_day"
            " CHECK (max_measurements_per_day > 0)",
        ),
        (
            "api_keys",
            "max_priority INTEGER NOT NULL DEFAULT 0 CONSTRAINT ck_api_keys_max_priority"
            " CHECK (max_priority BETWEEN -100 AND 100)",
        ),
    ):
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
    op.create_index(op.f("ix_jobs_api_key_id"), "jobs", ["api_key_id"], unique=False)
    op.create_index(op.f("ix_measurements_api_key_id_measured_at"), "measurements", ["api_key_id", "measured_at"])
    _give_devices_to_the_only_host()


def _give_devices_to_the_only_host() -> None:
    """Whatever device a profile that is no agent's named: it was of the one host, and so are its jobs."""
    connection = op.get_bind()
    agents = set(connection.scalars(sa.text("SELECT name FROM agents")))
    profiles = sa.table("device_profiles", sa.column("id", sa.String), sa.column("profile", sa.JSON))
    jobs = sa.table("jobs", sa.column("id", sa.String), sa.column("request", sa.JSON), sa.column("host", sa.String))
    own = set()
    for row in connection.execute(sa.select(profiles)).all():
        profile = row.profile
        if profile.get("device") in agents:
            continue
        own.add(row.id)
        if profile.get("device") != _ONLY_HOST:
            changed = profile | {"device": _ONLY_HOST}
            connection.execute(profiles.update().where(profiles.c.id == row.id).values(profile=changed))
    for row in connection.execute(sa.select(jobs)).all():
        if row.request.get("device") in own:
            connection.execute(jobs.update().where(jobs.c.id == row.id).values(host=_ONLY_HOST))
