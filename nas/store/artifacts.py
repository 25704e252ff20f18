"""Content-addressed files and their roles for candidates."""

from dataclasses import dataclass
from pathlib import PurePosixPath

from sqlalchemy import select

from nas.store import leases
from nas.store.database import Clock, Database, insert_missing
from nas.store.errors import NotStoredError, StoreConflictError
from nas.store.leases import Lease
from nas.store.schema import table_of
from nas.store.tables import ArtifactRow, ArtifactUseRow
from nas.store.tenancy import EVERYTHING, Viewer, visible_artifacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file in one of its roles."""

    sha256: str
    kind: str
    """``onnx``, ``weights``, ``manifest``, or a runtime's own (``Runtime.artifact_kind``)."""
    size_bytes: int
    path: str
    """Relative to the home's artifacts."""
    candidate_id: str


class Artifacts:
    """Artifacts by hash and by candidate."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, artifact: Artifact, *, lease: Lease | None = None) -> None:
        """Stores a file's place and use; again is harmless.

        Raises:
            StoreConflictError: for an unknown candidate or kind, or a path outside the home's artifacts.
            LeaseLostError: if ``lease`` no longer holds; nothing is stored.
        """
        path = PurePosixPath(artifact.path)
        if path.is_absolute() or ".." in path.parts:
            raise StoreConflictError(f"artifact path {artifact.path!r} must be relative to the home's artifacts.")
        file = {
            "sha256": artifact.sha256,
            "size_bytes": artifact.size_bytes,
            "path": artifact.path,
            "created_at": self._clock(),
        }
        use = {"candidate_id": artifact.candidate_id, "kind": artifact.kind, "sha256": artifact.sha256}
        with self._database.write() as session:
            leases.require(session, lease)
            insert_missing(session, table_of(ArtifactRow), [file])
            insert_missing(session, table_of(ArtifactUseRow), [use])

    def find(self, sha256: str, viewer: Viewer = EVERYTHING) -> Artifact | None:
        """The file under one of its uses, or None if there is none that the viewer may see."""
        query = _QUERY.where(ArtifactRow.sha256 == sha256, *visible_artifacts(viewer))
        query = query.order_by(ArtifactUseRow.kind, ArtifactUseRow.candidate_id)
        with self._database.read() as session:
            row = session.execute(query.limit(1)).first()
            return None if row is None else _stored(*row)

    def get(self, sha256: str) -> Artifact:
        """The file under one of its uses.

        Raises:
            NotStoredError: if there is none with this hash.
        """
        found = self.find(sha256)
        if found is None:
            raise NotStoredError("artifact", sha256)
        return found

    def of_candidate(self, candidate_id: str) -> tuple[Artifact, ...]:
        """A candidate's files, by kind and hash."""
        query = _QUERY.where(ArtifactUseRow.candidate_id == candidate_id)
        with self._database.read() as session:
            rows = session.execute(query.order_by(ArtifactUseRow.kind, ArtifactUseRow.sha256))
            return tuple(_stored(*row) for row in rows)


_QUERY = select(ArtifactRow, ArtifactUseRow).join(ArtifactUseRow, ArtifactUseRow.sha256 == ArtifactRow.sha256)


def _stored(file: ArtifactRow, use: ArtifactUseRow) -> Artifact:
    return Artifact(
        sha256=file.sha256,
        kind=use.kind,
        size_bytes=file.size_bytes,
        path=file.path,
        candidate_id=use.candidate_id,
    )
