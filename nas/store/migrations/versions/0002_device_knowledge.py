"""Drift and anchor references are rows; accuracies keep the version that counted them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

UNKNOWN_VERSION = "unknown"
"""Of accuracies counted before versions were kept: they are never taken for those of a known one."""


def upgrade() -> None:
    """Applies this revision."""
    op.create_table(
        "anchor_references",
        sa.Column("profile_id", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("anchor_id", sa.String(length=64), nullable=False),
        sa.Column("latency_ms", sa.Double(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(fingerprint) = 64", name=op.f("ck_anchor_references_fingerprint_sha256")),
        sa.CheckConstraint("latency_ms > 0 AND latency_ms < 1e300", name=op.f("ck_anchor_references_latency")),
        sa.ForeignKeyConstraint(["anchor_id"], ["candidates.id"], name=op.f("fk_anchor_references_anchor_id")),
        sa.ForeignKeyConstraint(["profile_id"], ["device_profiles.id"], name=op.f("fk_anchor_references_profile_id")),
        sa.PrimaryKeyConstraint("profile_id", "fingerprint", "anchor_id", name=op.f("pk_anchor_references")),
    )
    op.create_table(
        "device_drifts",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("profile_id", sa.String(length=200), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("last_measurement", sa.BigInteger(), nullable=False),
        sa.Column("checked", sa.Integer(), nullable=False),
        sa.Column("change_pct", sa.Double(), nullable=False),
        sa.Column("allowed_pct", sa.Double(), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(fingerprint) = 64", name=op.f("ck_device_drifts_fingerprint_sha256")),
        sa.CheckConstraint("last_measurement > 0 AND checked > 0", name=op.f("ck_device_drifts_counts")),
        sa.ForeignKeyConstraint(["profile_id"], ["device_profiles.id"], name=op.f("fk_device_drifts_profile_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_device_drifts")),
    )
    op.create_index(
        op.f("ix_device_drifts_profile_id_fingerprint"), "device_drifts", ["profile_id", "fingerprint"], unique=False
    )
    _remake_evaluations()


def _remake_evaluations() -> None:
    """Makes the version a part of the key; SQLite cannot change a primary key in place."""
    connection = op.get_bind()
    old = sa.Table("evaluations", sa.MetaData(), autoload_with=connection)
    rows = [dict(row) | {"runtime_version": UNKNOWN_VERSION} for row in connection.execute(sa.select(old)).mappings()]
    op.drop_table("evaluations")
    op.create_table(
        "evaluations",
        sa.Column("supernet_id", sa.String(length=64), nullable=False),
        sa.Column("candidate_id", sa.String(length=64), nullable=False),
        sa.Column("part", sa.String(length=8), nullable=False),
        sa.Column("runtime_version", sa.String(length=100), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("part IN ('float', 'val', 'test')", name=op.f("ck_evaluations_part")),
        sa.CheckConstraint("accuracy >= 0 AND accuracy <= 1", name=op.f("ck_evaluations_accuracy_fraction")),
        sa.CheckConstraint("images > 0", name=op.f("ck_evaluations_images_positive")),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name=op.f("fk_evaluations_candidate_id")),
        sa.ForeignKeyConstraint(["supernet_id"], ["supernets.id"], name=op.f("fk_evaluations_supernet_id")),
        sa.PrimaryKeyConstraint("supernet_id", "candidate_id", "part", "runtime_version", name=op.f("pk_evaluations")),
    )
    op.create_index(op.f("ix_evaluations_candidate_id"), "evaluations", ["candidate_id"], unique=False)
    if rows:
        new = sa.Table("evaluations", sa.MetaData(), autoload_with=connection)
        connection.execute(sa.insert(new), rows)
