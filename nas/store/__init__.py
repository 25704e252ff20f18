"""What hwnas knows, in one SQL database: SQLite embedded, PostgreSQL where several hosts work."""

from nas.store.store import Store, open_store

__all__ = ["Store", "open_store"]
