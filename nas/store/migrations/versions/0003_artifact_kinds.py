"""Artifact kinds are the runtimes' own: any short lower-case name."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_NAME = "ck_artifact_uses_kind"
_BEFORE = "kind IN ('onnx', 'tvm', 'weights', 'manifest')"
_AFTER = "length(kind) BETWEEN 1 AND 16 AND kind = lower(kind)"


def _table() -> sa.Table:
    """As the first revision made it: SQLite rebuilds the table, and does not say which checks it has."""
    return sa.Table(
        "artifact_uses",
        sa.MetaData(),
        sa.Column("candidate_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.CheckConstraint(_BEFORE, name=op.f(_NAME)),
        sa.ForeignKeyConstraint(["candidate_id"], ["candidates.id"], name=op.f("fk_artifact_uses_candidate_id")),
        sa.ForeignKeyConstraint(["sha256"], ["artifacts.sha256"], name=op.f("fk_artifact_uses_sha256")),
        sa.PrimaryKeyConstraint("candidate_id", "kind", "sha256", name=op.f("pk_artifact_uses")),
        sa.Index(op.f("ix_artifact_uses_sha256"), "sha256"),
    )


def upgrade() -> None:
    """Applies this revision."""
    with op.batch_alter_table("artifact_uses", copy_from=_table()) as batch:
        batch.drop_constraint(op.f(_NAME), type_="check")
        batch.create_check_constraint(op.f(_NAME), sa.text(_AFTER))
