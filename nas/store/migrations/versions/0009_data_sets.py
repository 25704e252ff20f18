"""Uploaded data sets, trainings as jobs, and the tenants whose trainings made a supernet."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_KINDS_BEFORE = "kind IN ('search', 'calibration')"
_KINDS = "kind IN ('search', 'calibration', 'training')"


def upgrade() -> None:
    """Applies this revision."""
    _allow_trainings()
    op.create_table(
        "data_sets",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=200), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("contents", sa.JSON(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_data_sets_size_bytes")),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_data_sets_sha256")),
        sa.CheckConstraint("state IN ('uploading', 'ready', 'refused')", name=op.f("ck_data_sets_state")),
        sa.CheckConstraint("(state = 'ready') = (contents IS NOT NULL)", name=op.f("ck_data_sets_ready_has_contents")),
        sa.CheckConstraint("(state = 'refused') = (error IS NOT NULL)", name=op.f("ck_data_sets_refused_has_error")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_sets")),
    )
    op.create_index(op.f("ix_data_sets_sha256"), "data_sets", ["sha256"])
    op.execute(
        "ALTER TABLE supernets ADD COLUMN data_set_id VARCHAR(64)"
        " CONSTRAINT fk_supernets_data_set_id REFERENCES data_sets (id)"
    )
    op.add_column("supernets", sa.Column("shared", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_table(
        "supernet_owners",
        sa.Column("supernet_id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(["supernet_id"], ["supernets.id"], name=op.f("fk_supernet_owners_supernet_id")),
        sa.PrimaryKeyConstraint("supernet_id", "tenant", name=op.f("pk_supernet_owners")),
    )


def _allow_trainings() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        op.drop_constraint(op.f("ck_jobs_kind"), "jobs", type_="check")
        op.create_check_constraint(op.f("ck_jobs_kind"), "jobs", sa.text(_KINDS))
        return
    # Other tables refer to this one, so that it cannot be dropped and made again within a transaction. A check is
    # changed in the schema itself: https://www.sqlite.org/lang_altertable.html#making_other_kinds_of_table_schema_changes
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    connection.execute(
        sa.text("UPDATE sqlite_master SET sql = replace(sql, :before, :after) WHERE type = 'table' AND name = 'jobs'"),
        {"before": _KINDS_BEFORE, "after": _KINDS},
    )
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
