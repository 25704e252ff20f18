"""Predictor revisions on disk: one folder each, written whole, never pickled.

``revision.json`` says what the revision is, ``arrays.npz`` holds its arrays and
``*.ubj`` XGBoost's trees.
"""

import hashlib
import json
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from predictors.errors import RevisionError
from predictors.features import SCHEMA, schema_hash
from predictors.regression import FloatArray, ModelState
from search_spaces.space import IntArray, SearchSpace

FORMAT: Final = 3
"""Raised whenever what a revision's files hold changes: others are refused, and fitted again."""

_DOCUMENT = "revision.json"
_ARRAYS = "arrays.npz"
_DAMAGE: Final = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)
"""What reading a file of another content raises, in NumPy, JSON, XGBoost and the models' own loaders."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Revision:
    """Metadata of a saved predictor."""

    kind: str
    document: dict[str, Any]
    model: ModelState
    arrays: dict[str, FloatArray]


def data_hash(genotypes: IntArray, values: FloatArray) -> str:
    """SHA-256 of the samples that a predictor was fitted to, in their order."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(genotypes, dtype="<i8").tobytes())
    digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()


def save_revision(
    folder: Path,
    revision: Revision,
    space: SearchSpace,
    parts: Mapping[str, Callable[[Path], None]] | None = None,
) -> None:
    """Writes a revision into a new folder, whole or not at all; ``parts`` write folders inside it.

    Raises:
        RevisionError: if the folder exists; revisions are immutable.
    """
    if folder.exists():
        raise RevisionError(f"{folder} exists already; a predictor revision is never overwritten.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        arrays = dict(revision.arrays)
        model = _flatten(revision.model, "model", arrays, temporary)
        np.savez(temporary / _ARRAYS, allow_pickle=False, **arrays)
        document = {
            "kind": revision.kind,
            "format": FORMAT,
            "schema": SCHEMA,
            "schema_hash": schema_hash(space),
            "space": space.name,
            "task": space.task.as_json(),
            **revision.document,
            "model": model,
        }
        (temporary / _DOCUMENT).write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        for name, save in (parts or {}).items():
            save(temporary / name)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def whole_revision(folder: Path) -> Iterator[None]:
    """What fails inside, reading ``folder``, means that its files are missing or damaged.

    Raises:
        RevisionError: instead.
    """
    try:
        yield
    except _DAMAGE as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise RevisionError(f"{folder} is not a complete predictor revision ({reason}); fit it again.") from error


def load_revision(folder: Path, kind: str, space: SearchSpace) -> Revision:
    """Reads a revision.

    Raises:
        RevisionError: if it is missing, damaged, of another format, kind, space or feature schema.
    """
    with whole_revision(folder):
        document = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))
        # NumPy leaves a file that is no archive open, where it opened it itself.
        with (folder / _ARRAYS).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays: dict[str, NDArray[np.float64]] = {name: file[name] for name in file.files}
        found = document["kind"], document["space"], document["schema_hash"]
        if document.get("format", 1) != FORMAT:
            raise RevisionError(
                f"{folder} was written by another version of hwnas (format {document.get('format', 1)}; this one reads"
                f" {FORMAT}); calibrate or search again, and a new revision takes its place."
            )
        model = _unflatten(document.pop("model"), "model", arrays, folder)
    if found[0] != kind:
        raise RevisionError(f"{folder} holds a predictor of kind {found[0]!r}, not {kind!r}.")
    if found[1] != space.name:
        raise RevisionError(f"{folder} predicts for the space {found[1]!r}, not {space.name!r}; fit one for it.")
    if found[2] != schema_hash(space):
        raise RevisionError(
            f"{folder} was fitted for another task or feature schema of {space.name!r} ({document.get('schema')},"
            f" task {document.get('task')}); fit it again."
        )
    return Revision(kind=kind, document=document, model=model, arrays=arrays)


def revision_kind(folder: Path) -> str:
    """The kind of predictor that a folder holds.

    Raises:
        RevisionError: if it is missing or damaged.
    """
    with whole_revision(folder):
        return str(json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))["kind"])


def _flatten(state: ModelState, prefix: str, arrays: dict[str, FloatArray], folder: Path) -> dict[str, Any]:
    for name, array in state.arrays.items():
        arrays[f"{prefix}.{name}"] = array
    for name, content in state.boosters.items():
        (folder / f"{prefix}.{name}.ubj").write_bytes(content)
    return {
        "form": state.form,
        "settings": state.settings,
        "arrays": sorted(state.arrays),
        "boosters": sorted(state.boosters),
        "parts": {name: _flatten(part, f"{prefix}.{name}", arrays, folder) for name, part in state.parts.items()},
    }


def _unflatten(document: dict[str, Any], prefix: str, arrays: dict[str, FloatArray], folder: Path) -> ModelState:
    return ModelState(
        form=document["form"],
        settings=document["settings"],
        arrays={name: arrays.pop(f"{prefix}.{name}") for name in document["arrays"]},
        boosters={name: (folder / f"{prefix}.{name}.ubj").read_bytes() for name in document["boosters"]},
        parts={name: _unflatten(part, f"{prefix}.{name}", arrays, folder) for name, part in document["parts"].items()},
    )
