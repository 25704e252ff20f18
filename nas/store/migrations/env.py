"""Alembic's entry: runs inside the transaction that :mod:`nas.store.migration` opened."""

from alembic import context

from nas.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
)
context.run_migrations()
