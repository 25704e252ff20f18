"""Trained supernets: where their files are, and their accuracies."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from nas.store.database import Clock, Database, insert_missing
from nas.store.errors import NotStoredError
from nas.store.leases import Lease, held_row
from nas.store.pages import PageRequest, PageStart, read_page
from nas.store.schema import table_of
from nas.store.tables import SupernetOwnerRow, SupernetRow
from nas.store.tenancy import EVERYTHING, Viewer, visible_supernets
from search_spaces.task import TaskSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSupernet:
    """A trained supernet to store."""

    id: str
    """SHA-256 of the weights."""
    space: str
    task: TaskSpec
    data_name: str
    data_fingerprint: str
    """SHA-256 of the data set's arrays."""
    folder: str
    """Relative to the home's supernets."""
    metrics: Mapping[str, Any]
    data_set_id: str | None = None
    """Of the uploaded data set that it was trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSupernet(NewSupernet):
    """A stored supernet."""

    created_at: datetime


class Supernets:
    """Supernets by the hash of their weights."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, supernet: NewSupernet, *, lease: Lease | None = None) -> None:
        """Stores a supernet; of one that is stored already, only where its data lies and whose it is can change.

        It belongs to the tenant of the job whose ``lease`` is given, and to everyone without one.

        Raises:
            LeaseLostError: if ``lease`` no longer holds; nothing is stored.
        """
        row = {
            "id": supernet.id,
            "space": supernet.space,
            "task": supernet.task.as_json(),
            "data_name": supernet.data_name,
            "data_fingerprint": supernet.data_fingerprint,
            "folder": supernet.folder,
            "metrics": dict(supernet.metrics),
            "shared": False,
            "created_at": self._clock(),
        }
        with self._database.write() as session:
            tenant = None if lease is None else held_row(session, lease).tenant
            insert_missing(session, table_of(SupernetRow), [row])
            stored = session.get_one(SupernetRow, supernet.id, with_for_update=True)
            stored.data_set_id = supernet.data_set_id
            if tenant is None:
                stored.shared = True
            else:
                owner = {"supernet_id": supernet.id, "tenant": tenant}
                insert_missing(session, table_of(SupernetOwnerRow), [owner])

    def find(self, supernet_id: str, viewer: Viewer = EVERYTHING) -> StoredSupernet | None:
        """The supernet, or None if there is none that the viewer may see."""
        query = select(SupernetRow).where(SupernetRow.id == supernet_id, *visible_supernets(viewer))
        with self._database.read() as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else _stored(row)

    def get(self, supernet_id: str) -> StoredSupernet:
        """The supernet.

        Raises:
            NotStoredError: if there is none with this id.
        """
        found = self.find(supernet_id)
        if found is None:
            raise NotStoredError("supernet", supernet_id)
        return found

    def latest(
        self, *, space: str | None = None, data_fingerprint: str | None = None, viewer: Viewer = EVERYTHING
    ) -> StoredSupernet | None:
        """The newest supernet that the viewer may see, of one space and one data set where given."""
        found = self.all(space=space, data_fingerprint=data_fingerprint, viewer=viewer)
        return found[0] if found else None

    def all(
        self, *, space: str | None = None, data_fingerprint: str | None = None, viewer: Viewer = EVERYTHING
    ) -> tuple[StoredSupernet, ...]:
        """Supernets that the viewer may see, newest first."""
        query = select(SupernetRow).where(*visible_supernets(viewer))
        query = query.order_by(SupernetRow.created_at.desc(), SupernetRow.id)
        if space is not None:
            query = query.where(SupernetRow.space == space)
        if data_fingerprint is not None:
            query = query.where(SupernetRow.data_fingerprint == data_fingerprint)
        with self._database.read() as session:
            return tuple(_stored(row) for row in session.scalars(query))

    def page(
        self,
        page: PageRequest,
        *,
        space: str | None = None,
        data_name: str | None = None,
        viewer: Viewer = EVERYTHING,
    ) -> tuple[tuple[StoredSupernet, ...], PageStart | None]:
        """A page of supernets, newest first, and where the next one starts."""
        query = select(SupernetRow).where(*visible_supernets(viewer))
        if space is not None:
            query = query.where(SupernetRow.space == space)
        if data_name is not None:
            query = query.where(SupernetRow.data_name == data_name)
        with self._database.read() as session:
            rows, following = read_page(session, query, SupernetRow, page)
            return tuple(_stored(row) for row in rows), following


def _stored(row: SupernetRow) -> StoredSupernet:
    return StoredSupernet(
        id=row.id,
        space=row.space,
        task=TaskSpec.from_json(row.task),
        data_name=row.data_name,
        data_fingerprint=row.data_fingerprint,
        folder=row.folder,
        metrics=row.metrics,
        data_set_id=row.data_set_id,
        created_at=row.created_at,
    )
