"""Finished supernets on disk: ``weights.safetensors`` and ``supernet.json`` in one folder."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nas.data.dataset import ImageDataset
from nas.data.normalization import Normalization
from nas.families.registry import build_supernet, has_supernet
from nas.home import sha256_of, write_atomically, write_bytes
from nas.supernet.supernet import Supernet
from nas.training.settings import TrainingSettings
from search_spaces.errors import NasError, UsageError
from search_spaces.registry import get_space
from search_spaces.space import SearchSpace
from search_spaces.task import TaskSpec

RECORD_SCHEMA = "hwnas.supernet/1"
WEIGHTS_FILE = "weights.safetensors"
RECORD_FILE = "supernet.json"
CHECKPOINT_FILE = "checkpoint.safetensors"


class SupernetError(NasError):
    """A supernet's folder that is missing, damaged or of another space or data set."""

    code: ClassVar[str] = "bad-supernet"


@dataclass(frozen=True, slots=True, kw_only=True)
class SupernetRecord:
    """The record of a trained supernet.

    Accuracies are fractions on the validation part, with inherited weights after
    batch-norm recalibration.
    """

    id: str
    space: str
    task: TaskSpec
    dataset: str
    data_fingerprint: str
    classes: tuple[str, ...]
    normalization: Normalization
    settings: TrainingSettings
    weights_sha256: str
    steps: int
    accuracy_smallest: float
    accuracy_middle: float | None
    """None for supernets of versions that did not count it."""
    accuracy_largest: float
    images_val: int | None
    """Validation images that the accuracies were counted on; None as before."""
    seconds: float
    versions: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """The file's object."""
        return {
            "schema": RECORD_SCHEMA,
            "id": self.id,
            "space": self.space,
            "task": self.task.as_json(),
            "dataset": self.dataset,
            "data_fingerprint": self.data_fingerprint,
            "classes": list(self.classes),
            "normalization": self.normalization.as_json(),
            "settings": self.settings.as_json(),
            "weights_sha256": self.weights_sha256,
            "steps": self.steps,
            "accuracy_smallest": self.accuracy_smallest,
            "accuracy_middle": self.accuracy_middle,
            "accuracy_largest": self.accuracy_largest,
            "images_val": self.images_val,
            "seconds": self.seconds,
            "versions": self.versions,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "SupernetRecord":
        """The inverse of :meth:`as_json`."""
        return cls(
            id=str(values["id"]),
            space=str(values["space"]),
            task=TaskSpec.from_json(values["task"]),
            dataset=str(values["dataset"]),
            data_fingerprint=str(values["data_fingerprint"]),
            classes=tuple(values["classes"]),
            normalization=Normalization.from_json(values["normalization"]),
            settings=TrainingSettings.from_json(values["settings"]),
            weights_sha256=str(values["weights_sha256"]),
            steps=int(values["steps"]),
            accuracy_smallest=float(values["accuracy_smallest"]),
            accuracy_middle=None if values.get("accuracy_middle") is None else float(values["accuracy_middle"]),
            accuracy_largest=float(values["accuracy_largest"]),
            images_val=None if values.get("images_val") is None else int(values["images_val"]),
            seconds=float(values["seconds"]),
            versions={str(k): str(v) for k, v in values["versions"].items()},
        )


def supernet_id(space: SearchSpace, dataset: ImageDataset, settings: TrainingSettings) -> str:
    """16 hexadecimal digits of all that determines the weights: genes, sizes, data and settings."""
    identity = {
        "space": space.name,
        "genes": [[gene.name, list(gene.choices)] for gene in space.genes],
        "config": space.configuration,
        "task": space.task.as_json(),
        "data": dataset.fingerprint,
        "settings": settings.identity(),
    }
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def save_supernet(folder: Path, supernet: Supernet, record: SupernetRecord) -> SupernetRecord:
    """Writes weights, then the record that makes the folder count as finished.

    Returns:
        The record with the weights file's SHA-256.

    Raises:
        DiskFullError: if the disk has no space.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in supernet.state_dict().items()}
    write_atomically(folder / WEIGHTS_FILE, lambda temporary: save_file(tensors, temporary))
    values = record.as_json() | {"weights_sha256": sha256_of(folder / WEIGHTS_FILE)}
    write_bytes(folder / RECORD_FILE, (json.dumps(values, indent=1, sort_keys=True) + "\n").encode())
    return SupernetRecord.from_json(values)


def read_record(folder: Path) -> SupernetRecord:
    """The record of a finished supernet.

    Raises:
        SupernetError: if the folder holds none or it cannot be read.
    """
    path = folder / RECORD_FILE
    try:
        values = json.loads(path.read_text())
        if values.get("schema") != RECORD_SCHEMA:
            raise SupernetError(f"{path} has schema {values.get('schema')!r}; {RECORD_SCHEMA!r} is read. Train again.")
        return SupernetRecord.from_json(values)
    except FileNotFoundError as error:
        raise SupernetError(f"{folder} holds no finished supernet; run hwnas train.") from error
    except UsageError as error:
        raise SupernetError(
            f"{path} was written by another version of hwnas ({str(error).rstrip('.')});"
            " use that version, or train again."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SupernetError(f"{path} cannot be read ({error}); delete {folder} and train again.") from error


def load_supernet(folder: Path) -> tuple[Supernet, SupernetRecord]:
    """A finished supernet in evaluation mode, with its record.

    Raises:
        SupernetError: if it is missing, damaged, or its space has changed since.
    """
    record = read_record(folder)
    path = folder / WEIGHTS_FILE
    advice = f"delete {folder} and train again"
    if not path.is_file():
        raise SupernetError(f"{path} is missing; {advice}.")
    if sha256_of(path) != record.weights_sha256:
        raise SupernetError(f"{path} is damaged (its SHA-256 is not the recorded one); {advice}.")
    space = get_space(record.space, record.task)
    if not has_supernet(space):
        raise SupernetError(f"{path} is of the space {record.space}, which has no supernet here.")
    supernet = build_supernet(space)
    try:
        supernet.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as error:
        raise SupernetError(f"{path} does not fit {record.space} as it is defined now; {advice}.") from error
    return supernet.eval(), record


def list_supernets(root: Path) -> list[SupernetRecord]:
    """Records of all finished supernets under a folder, sorted by id; damaged ones raise."""
    return [read_record(path.parent) for path in sorted(root.glob(f"*/{RECORD_FILE}"))]
