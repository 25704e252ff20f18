"""The SQL database of hwnas: SQLite by default, PostgreSQL for several hosts."""

from nas.store.store import Store, open_store

__all__ = ["Store", "open_store"]
