"""Uploads count in the quota of the API key that announced them."""

from collections.abc import Sequence

from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Applies this revision. Uploads that were announced before it belong to no key."""
    # Column and constraint in one statement: SQLite adds a constraint in no other way.
    op.execute(
        "ALTER TABLE data_sets ADD COLUMN api_key_id VARCHAR(64)"
        " CONSTRAINT fk_data_sets_api_key_id REFERENCES api_keys (id)"
    )
    op.create_index(op.f("ix_data_sets_api_key_id"), "data_sets", ["api_key_id"], unique=False)
