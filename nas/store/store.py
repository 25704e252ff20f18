"""The store: one object with one attribute per concept."""

from pathlib import Path
from types import TracebackType
from typing import Self

from nas.store.agent_tasks import AgentTasks
from nas.store.agents import Agents
from nas.store.anchor_references import AnchorReferences
from nas.store.api_keys import ApiKeys
from nas.store.artifacts import Artifacts
from nas.store.audit import Audit
from nas.store.candidates import Candidates
from nas.store.data_sets import DataSets
from nas.store.database import Clock, Database, PoolSettings, utc_now
from nas.store.devices import Devices
from nas.store.drifts import Drifts
from nas.store.evaluations import Evaluations
from nas.store.fronts import Fronts
from nas.store.hosts import Hosts
from nas.store.measurements import Measurements
from nas.store.migration import migrate, schema_revision
from nas.store.predictors import Predictors
from nas.store.searches import Searches
from nas.store.supernets import Supernets


class Store:
    """Rows by concept. Threads may share one; each process opens its own.

    Every method is one short transaction and raises the errors of
    :meth:`nas.store.database.Database.write` besides its own.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self.database = database
        self.clock = clock
        self.devices = Devices(database, clock)
        self.data_sets = DataSets(database, clock)
        self.supernets = Supernets(database, clock)
        self.candidates = Candidates(database, clock)
        self.evaluations = Evaluations(database, clock)
        self.measurements = Measurements(database, clock)
        self.anchor_references = AnchorReferences(database, clock)
        self.drifts = Drifts(database, clock)
        self.api_keys = ApiKeys(database, clock)
        self.audit = Audit(database)
        self.artifacts = Artifacts(database, clock)
        self.predictors = Predictors(database, clock)
        self.searches = Searches(database, clock)
        self.fronts = Fronts(database, clock)
        self.agents = Agents(database, clock)
        self.agent_tasks = AgentTasks(database, clock)
        self.hosts = Hosts(database, clock)

    def schema_revision(self) -> str | None:
        """The database's schema revision, read from it now; None before the first migration."""
        return schema_revision(self.database)

    def check(self) -> None:
        """Looks for damage in the database, for at most a fraction of a second.

        Raises:
            StoreDamagedError: if the file of a SQLite database was deleted, replaced or damaged.
            StoreError: if it cannot be used.
        """
        self.database.check()

    def close(self) -> None:
        """Closes the connections."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(url: str | Path, *, clock: Clock = utc_now, pool: PoolSettings | None = None) -> Store:
    """Opens a database, first made or brought up to date where needed; processes may race to do it.

    Args:
        url: ``sqlite:///PATH``, ``postgresql://USER@HOST/NAME``, or the path of a SQLite file.
        clock: Gives the present moment in UTC.
        pool: How many connections this process may have.

    Raises:
        StoreError: if the database cannot be used or was written by a newer hwnas.
    """
    database = Database(f"sqlite:///{url}" if isinstance(url, Path) else url, pool)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return Store(database, clock)
