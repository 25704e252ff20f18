"""Immutable predictor revisions: where their files are, and their errors on held-out data."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import select

from nas.store.database import Clock, Database, insert_missing
from nas.store.errors import NotStoredError
from nas.store.pages import PageRequest, PageStart, read_page
from nas.store.schema import table_of
from nas.store.tables import PredictorRow
from nas.store.tenancy import EVERYTHING, Viewer, visible_predictors

PredictorKind = Literal["latency", "accuracy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPredictor:
    """A revision to store; latency revisions have a profile, accuracy revisions have none."""

    id: str
    """SHA-256 of the revision's files."""
    kind: PredictorKind
    profile_id: str | None
    space: str
    supernet_id: str | None
    data_sha256: str
    """Hash of the rows that it was fitted to."""
    schema_version: str
    """Of its features."""
    metrics: Mapping[str, Any]
    folder: str
    """Relative to the home's predictors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPredictor(NewPredictor):
    """A stored revision."""

    created_at: datetime


class Predictors:
    """Revisions by id; the newest of a kind."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, predictor: NewPredictor) -> None:
        """Stores a revision; one that is stored already stays as it is.

        Raises:
            StoreConflictError: for a latency revision without a profile, or unknown profiles or supernets.
        """
        row = {
            "id": predictor.id,
            "kind": predictor.kind,
            "profile_id": predictor.profile_id,
            "space": predictor.space,
            "supernet_id": predictor.supernet_id,
            "data_sha256": predictor.data_sha256,
            "schema_version": predictor.schema_version,
            "metrics": dict(predictor.metrics),
            "folder": predictor.folder,
            "created_at": self._clock(),
        }
        with self._database.write() as session:
            insert_missing(session, table_of(PredictorRow), [row])

    def get(self, revision: str) -> StoredPredictor:
        """The revision.

        Raises:
            NotStoredError: if there is none with this id.
        """
        found = self.find(revision)
        if found is None:
            raise NotStoredError("predictor", revision)
        return found

    def find(self, revision: str, viewer: Viewer = EVERYTHING) -> StoredPredictor | None:
        """The revision, or None if there is none that the viewer may see."""
        query = select(PredictorRow).where(PredictorRow.id == revision, *visible_predictors(viewer))
        with self._database.read() as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else _stored(row)

    def page(
        self,
        page: PageRequest,
        *,
        kind: PredictorKind | None = None,
        profile_id: str | None = None,
        space: str | None = None,
        viewer: Viewer = EVERYTHING,
    ) -> tuple[tuple[StoredPredictor, ...], PageStart | None]:
        """A page of revisions, newest first, and where the next one starts."""
        query = select(PredictorRow).where(*visible_predictors(viewer))
        for column, value in (
            (PredictorRow.kind, kind),
            (PredictorRow.profile_id, profile_id),
            (PredictorRow.space, space),
        ):
            if value is not None:
                query = query.where(column == value)
        with self._database.read() as session:
            rows, following = read_page(session, query, PredictorRow, page)
            return tuple(_stored(row) for row in rows), following

    def spaces(self, profile_id: str) -> tuple[str, ...]:
        """Spaces that a profile has latency revisions for, sorted."""
        query = select(PredictorRow.space).where(PredictorRow.profile_id == profile_id).distinct()
        with self._database.read() as session:
            return tuple(sorted(session.scalars(query)))

    def latest(
        self, *, kind: PredictorKind, space: str, profile_id: str | None = None, supernet_id: str | None = None
    ) -> StoredPredictor | None:
        """The newest revision of a kind for a space, a profile (latency) and, where given, a supernet."""
        query = select(PredictorRow).where(PredictorRow.kind == kind, PredictorRow.space == space)
        if profile_id is not None:
            query = query.where(PredictorRow.profile_id == profile_id)
        if supernet_id is not None:
            query = query.where(PredictorRow.supernet_id == supernet_id)
        with self._database.read() as session:
            row = session.scalars(query.order_by(PredictorRow.created_at.desc(), PredictorRow.id).limit(1)).first()
            return None if row is None else _stored(row)


def _stored(row: PredictorRow) -> StoredPredictor:
    return StoredPredictor(
        id=row.id,
        kind=cast("PredictorKind", row.kind),
        profile_id=row.profile_id,
        space=row.space,
        supernet_id=row.supernet_id,
        data_sha256=row.data_sha256,
        schema_version=row.schema_version,
        metrics=row.metrics,
        folder=row.folder,
        created_at=row.created_at,
    )
