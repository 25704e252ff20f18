"""Content-addressed files under the home: named by their SHA-256, written once."""

from dataclasses import dataclass
from pathlib import Path

from nas.home import Home, copy_file, sha256_of
from nas.store.artifacts import Artifact
from nas.store.leases import Lease
from nas.store.store import Store
from search_spaces.errors import NasError


@dataclass(frozen=True, slots=True)
class ArtifactStore:
    """Files under ``Home.artifacts`` with their rows in the store."""

    home: Home
    store: Store

    def put(self, source: Path, kind: str, candidate_id: str, lease: Lease | None = None) -> Artifact:
        """Copies a file in and notes its use; a file that is there already is not copied.

        Raises:
            DiskFullError: if the disk has no space.
        """
        digest = sha256_of(source)
        name = f"{digest[:2]}/{digest}"
        target = self.home.artifacts / name
        if not target.exists() or sha256_of(target) != digest:
            copy_file(source, target)
        artifact = Artifact(
            sha256=digest,
            kind=kind,
            size_bytes=target.stat().st_size,
            path=name,
            candidate_id=candidate_id,
        )
        self.store.artifacts.put(artifact, lease=lease)
        return artifact

    def path(self, artifact: Artifact) -> Path:
        """Where the file lies.

        Raises:
            NasError: if it is gone or was changed.
        """
        path = self.home.artifacts / artifact.path
        if not path.exists() or sha256_of(path) != artifact.sha256:
            raise NasError(
                f"artifact {artifact.sha256[:12]} ({artifact.kind}) is gone or damaged; search with another seed"
                " (`hwnas search --seed N`), since the same search would give the stored front again."
            )
        return path
