"""Members keep their expected accuracy and metrics; searches of the command line keep a lease."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Applies this revision."""
    # Column and constraint in one statement: SQLite adds a constraint in no other way.
    double = sa.Double().compile(dialect=op.get_bind().dialect)
    op.execute(
        f"ALTER TABLE front_members ADD COLUMN accuracy_expected {double}"
        " CONSTRAINT ck_front_members_accuracy_expected CHECK (accuracy_expected >= 0 AND accuracy_expected <= 1)"
    )
    op.add_column("front_members", sa.Column("metrics", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
    op.add_column("searches", sa.Column("owner", sa.String(length=200), nullable=True))
    op.add_column("searches", sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("searches", sa.Column("cancel_requested", sa.Boolean(), nullable=False, server_default=sa.false()))
