"""Predictor revisions in a home: saved by the hash of their files, recorded in the store, loaded."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.home import Home, sha256_of
from nas.store.predictors import NewPredictor, StoredPredictor
from nas.workspace import Workspace
from predictors.accuracy import AccuracyPredictor
from predictors.errors import RevisionError
from predictors.features import SCHEMA
from predictors.latency import LatencyPredictor
from search_spaces.errors import NasError
from search_spaces.registry import get_space
from search_spaces.space import SearchSpace
from search_spaces.task import TaskSpec


def store_revision(
    workspace: Workspace,
    predictor: LatencyPredictor | AccuracyPredictor,
    *,
    profile_id: str | None,
    supernet_id: str | None,
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """Saves a revision under the hash of its files and records it in the store; storing it twice is harmless.

    Args:
        workspace: home and store.
        predictor: fitted.
        profile_id: the device, of a latency predictor.
        supernet_id: whose evaluations it rests on, where it does.
        provenance: where its samples came from, a JSON object; kept beside its metrics.
    """
    home: Home = workspace.home
    home.predictors.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.predictors, prefix=".new-") as scratch:
        folder = Path(scratch) / "revision"
        predictor.save(folder)
        revision = _folder_hash(folder)
        kept = home.predictors / revision
        if kept.exists() and _folder_hash(kept) != revision:
            shutil.rmtree(kept)
        if not kept.exists():
            shutil.move(folder, kept)
    workspace.store.predictors.put(
        NewPredictor(
            id=revision,
            kind="accuracy" if profile_id is None else "latency",
            profile_id=profile_id,
            space=predictor.space.name,
            supernet_id=supernet_id,
            data_sha256=predictor.data_sha256,
            schema_version=str(SCHEMA),
            metrics=predictor.held_out.as_json() | ({"provenance": dict(provenance)} if provenance else {}),
            folder=revision,
        )
    )
    return revision


def revision_space(home: Home, stored: StoredPredictor) -> SearchSpace:
    """The space, bound to its task, that a stored revision is for.

    Raises:
        RevisionError: if its files are gone or damaged.
    """
    path = home.predictors / stored.folder / "revision.json"
    try:
        document = json.loads(path.read_text("utf-8"))
        return get_space(document["space"], TaskSpec.from_json(document["task"]))
    except (OSError, AttributeError, IndexError, KeyError, TypeError, ValueError, NasError) as error:
        raise RevisionError(f"predictor {stored.id[:12]} cannot be read ({error}); calibrate again.") from error


def load_latency(home: Home, stored: StoredPredictor) -> LatencyPredictor:
    """A stored latency predictor.

    Raises:
        RevisionError: if its files are gone, damaged, or of another feature schema.
    """
    return LatencyPredictor.load(_whole_folder(home, stored), revision_space(home, stored))


def load_predictor(home: Home, stored: StoredPredictor) -> LatencyPredictor | AccuracyPredictor:
    """A stored predictor of either kind; errors as :func:`load_latency`."""
    if stored.kind == "latency":
        return load_latency(home, stored)
    return AccuracyPredictor.load(_whole_folder(home, stored), revision_space(home, stored))


def _whole_folder(home: Home, stored: StoredPredictor) -> Path:
    """The folder of a revision whose files are those that were stored.

    Raises:
        RevisionError: if they are not; a changed number would load and predict something else.
    """
    folder = home.predictors / stored.folder
    if not folder.is_dir() or _folder_hash(folder) != stored.id:
        step = "`hwnas calibrate` the device again" if stored.kind == "latency" else "run `hwnas fit` again"
        raise RevisionError(f"the files of predictor {stored.id[:12]} are missing or damaged; {step}.")
    return folder


def _folder_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()
