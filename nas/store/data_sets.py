"""Uploaded data sets: what was announced, and what was found in the bytes. The bytes are in the home."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from nas.store.audit import Change, record_change
from nas.store.database import Clock, Database
from nas.store.errors import NotStoredError
from nas.store.pages import PageRequest, PageStart, read_page
from nas.store.service_tables import DataSetRow
from nas.store.tenancy import EVERYTHING, Viewer, visible_data_sets
from search_spaces.task import TaskSpec

STORED_DATA: Final = "stored:"
"""``stored:ID`` names an uploaded data set wherever data is named."""
DataSetState = Literal["uploading", "ready", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDataSet:
    """A data set to upload."""

    name: str
    size_bytes: int
    sha256: str
    """Of the file's bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploader:
    """Who uploads a data set."""

    tenant: str | None = None
    """None for a data set that everyone may see."""
    api_key_id: str | None = None
    """The key whose quota counts the upload until it is finished."""


NOBODY: Final = Uploader()
"""The command line, and clients where no keys are required."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSetContents:
    """What a whole file holds."""

    task: TaskSpec
    classes: tuple[str, ...]
    images_train: int
    images_test: int
    fingerprint: str
    """SHA-256 of the arrays, as in supernets."""

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        return {
            "task": self.task.as_json(),
            "classes": list(self.classes),
            "images_train": self.images_train,
            "images_test": self.images_test,
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "DataSetContents":
        """The inverse of :meth:`as_json`."""
        return cls(
            task=TaskSpec.from_json(values["task"]),
            classes=tuple(values["classes"]),
            images_train=int(values["images_train"]),
            images_test=int(values["images_test"]),
            fingerprint=str(values["fingerprint"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDataSet(NewDataSet):
    """A data set now."""

    id: str
    tenant: str | None
    """Whose API key uploaded it; None for one that everyone may see."""
    state: DataSetState
    contents: DataSetContents | None
    """Once it is ready."""
    error: str | None
    """Why it was refused."""
    created_at: datetime


class DataSets:
    """Data sets by id."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def begin(
        self,
        new: NewDataSet,
        *,
        uploader: Uploader = NOBODY,
        change: Change | None = None,
        admit: Callable[[Session], None] = lambda _: None,
    ) -> tuple[StoredDataSet, bool]:
        """Announces an upload; returns the data set, and whether it is new.

        The same file under the same name is one data set of a tenant: announcing it again continues the first upload.

        Args:
            new: what is announced.
            uploader: who announces it.
            change: recorded with a new data set.
            admit: called in the transaction that adds a new data set; raises if it may not be added.
        """
        tenant = uploader.tenant
        same = select(DataSetRow).where(
            DataSetRow.sha256 == new.sha256,
            DataSetRow.name == new.name,
            DataSetRow.size_bytes == new.size_bytes,
            DataSetRow.tenant.is_(None) if tenant is None else DataSetRow.tenant == tenant,
            DataSetRow.state != "refused",
        )
        now = self._clock()
        with self._database.write() as session:
            found = session.scalars(same.order_by(DataSetRow.created_at, DataSetRow.id).limit(1)).first()
            if found is not None:
                return _stored(found), False
            admit(session)
            row = DataSetRow(
                id=uuid.uuid4().hex,
                tenant=tenant,
                api_key_id=uploader.api_key_id,
                name=new.name,
                size_bytes=new.size_bytes,
                sha256=new.sha256,
                state="uploading",
                created_at=now,
            )
            session.add(row)
            record_change(session, change, now, subject=f"/v1/data-sets/{row.id}")
            session.flush()
            return _stored(row), True

    def find(self, data_set_id: str, viewer: Viewer = EVERYTHING) -> StoredDataSet | None:
        """The data set, or None if there is none that the viewer may see."""
        query = select(DataSetRow).where(DataSetRow.id == data_set_id, *visible_data_sets(viewer))
        with self._database.read() as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else _stored(row)

    def get(self, data_set_id: str) -> StoredDataSet:
        """The data set.

        Raises:
            NotStoredError: if there is none with this id.
        """
        found = self.find(data_set_id)
        if found is None:
            raise NotStoredError("data set", data_set_id)
        return found

    def page(
        self, page: PageRequest, *, state: DataSetState | None = None, viewer: Viewer = EVERYTHING
    ) -> tuple[tuple[StoredDataSet, ...], PageStart | None]:
        """A page of data sets, newest first, and where the next one starts."""
        query = select(DataSetRow).where(*visible_data_sets(viewer))
        if state is not None:
            query = query.where(DataSetRow.state == state)
        with self._database.read() as session:
            rows, following = read_page(session, query, DataSetRow, page)
            return tuple(_stored(row) for row in rows), following

    def mark_ready(self, data_set_id: str, contents: DataSetContents, *, change: Change | None = None) -> StoredDataSet:
        """Notes what a whole file holds; it can be trained on from now on. Errors as :meth:`get`."""
        with self._database.write() as session:
            row = _row(session, data_set_id)
            row.state, row.contents = "ready", contents.as_json()
            record_change(session, change, self._clock(), subject=f"/v1/data-sets/{row.id}")
            return _stored(row)

    def mark_refused(self, data_set_id: str, error: str) -> StoredDataSet:
        """Notes why a whole file is no data set. Errors as :meth:`get`."""
        with self._database.write() as session:
            row = _row(session, data_set_id)
            row.state, row.error = "refused", error
            return _stored(row)


def _row(session: Session, data_set_id: str) -> DataSetRow:
    row = session.get(DataSetRow, data_set_id, with_for_update=True)
    if row is None:
        raise NotStoredError("data set", data_set_id)
    return row


def _stored(row: DataSetRow) -> StoredDataSet:
    return StoredDataSet(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        state=cast("DataSetState", row.state),
        contents=None if row.contents is None else DataSetContents.from_json(row.contents),
        error=row.error,
        created_at=row.created_at,
    )
