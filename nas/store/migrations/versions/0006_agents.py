"""Agents, and the tasks that they are given."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Applies this revision."""
    op.create_table(
        "agents",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("signing_key", sa.String(length=64), nullable=False),
        sa.Column("session", sa.BigInteger(), nullable=False),
        sa.Column("installation", sa.String(length=64), nullable=True),
        sa.Column("about", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(key_sha256) = 64 AND length(signing_key) = 64", name=op.f("ck_agents_keys")),
        sa.CheckConstraint("session >= 0", name=op.f("ck_agents_session")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        sa.UniqueConstraint("name", name=op.f("uq_agents_name")),
        sa.UniqueConstraint("key_sha256", name=op.f("uq_agents_key_sha256")),
    )
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "agent_tasks",
        sa.Column("number", number, nullable=False),
        sa.Column("agent_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("profile_id", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("task", sa.JSON(), nullable=False),
        sa.Column("paths", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_by", sa.DateTime(timezone=True), nullable=True),
        sa.Column("wanted_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('compile', 'check', 'time', 'classify')", name=op.f("ck_agent_tasks_kind")),
        sa.CheckConstraint("state IN ('queued', 'running', 'ended')", name=op.f("ck_agent_tasks_state")),
        sa.CheckConstraint(
            "(state = 'running') = (lease_until IS NOT NULL) AND (state = 'running') = (ends_by IS NOT NULL)",
            name=op.f("ck_agent_tasks_running_is_leased"),
        ),
        sa.CheckConstraint("(state = 'ended') = (finished_at IS NOT NULL)", name=op.f("ck_agent_tasks_ended_has_time")),
        sa.CheckConstraint("fence >= 0 AND attempts >= 0", name=op.f("ck_agent_tasks_counts")),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_agent_tasks_agent_id")),
        sa.ForeignKeyConstraint(["profile_id"], ["device_profiles.id"], name=op.f("fk_agent_tasks_profile_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_agent_tasks")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_agent_tasks_agent_id_state_number"), "agent_tasks", ["agent_id", "state", "number"])
    op.create_index(
        "uq_agent_tasks_running",
        "agent_tasks",
        ["agent_id"],
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
