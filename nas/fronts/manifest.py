"""The manifest of a model: all that a program needs to use it without hwnas.

Feed ``(pixels * scale - mean) / std``, channels first; take the largest output.
"""

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from hw_profiles.runtimes.registry import get_runtime, runtime_names, runtimes_of_kind
from nas.store.supernets import StoredSupernet
from search_spaces.errors import NasError, UnknownNameError
from search_spaces.space import IntArray, SearchSpace
from search_spaces.task import TensorSpec

SCHEMA: Final = "hwnas.manifest/1"
_PACKAGES: Final = ("hwnas", "torch", "onnx", "onnxruntime")
"""What every model is made with: ONNX Runtime quantizes and counts accuracies, whatever runs the model."""

_FILE_NAMES: Final = {"onnx": "model.onnx", "weights": "weights.safetensors", "manifest": "manifest.json"}
"""The files that every exported candidate has, by kind."""


class ManifestError(NasError):
    """A manifest that is damaged or does not describe its files."""

    code: ClassVar[str] = "bad-manifest"


def file_name(kind: str) -> str:
    """Name of a file in an exported candidate's folder, by its kind.

    Raises:
        UnknownNameError: if no installed runtime has artifacts of this kind.
    """
    if kind in _FILE_NAMES:
        return _FILE_NAMES[kind]
    runtimes = runtimes_of_kind(kind)
    if not runtimes:
        known = {runtime.artifact_kind for runtime in map(get_runtime, runtime_names())}
        raise UnknownNameError("artifact kind", kind, tuple(sorted(known | _FILE_NAMES.keys())))
    return runtimes[0].artifact_file


def file_names(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Names of a candidate's files by kind, the manifest's own among them; needs no runtime.

    Raises:
        ManifestError: if a name is not that of a file in the manifest's folder.
    """
    names = {kind: str(file["file"]) for kind, file in manifest["files"].items()}
    for kind, name in names.items():
        if name in ("", ".", "..") or Path(name).name != name:
            raise ManifestError(f"the manifest of candidate {manifest['candidate'][:12]} has {name!r} as {kind} file.")
    return names | {"manifest": _FILE_NAMES["manifest"]}


def _runtime_versions(kinds: Iterable[str]) -> dict[str, str]:
    """Versions of the runtimes that a candidate's files are for; one that is also a package keeps that version."""
    runtimes = [runtime for kind in kinds for runtime in runtimes_of_kind(kind)]
    return {runtime.name: runtime.version for runtime in runtimes if runtime.name not in _PACKAGES}


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFormat:
    """The model's input, and how pixels become it."""

    tensor: TensorSpec
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """The contract's ``input`` object."""
        return {
            "name": self.tensor.name,
            "shape": [1, *self.tensor.shape],
            "dtype": self.tensor.dtype,
            "layout": "NCHW",
            "scale": self.scale,
            "mean": list(self.mean),
            "std": list(self.std),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInterface:
    """What a program feeds to a model and reads from it."""

    input: InputFormat
    output: TensorSpec
    """The logits."""
    classes: tuple[str, ...]
    """Names in the order of the logits."""

    def as_json(self) -> dict[str, Any]:
        """The contract's ``input``, ``output`` and ``classes``."""
        output = self.output
        return {
            "input": self.input.as_json(),
            "output": {
                "name": output.name,
                "shape": [1, *output.shape],
                "dtype": output.dtype,
                "meaning": "logits",
            },
            "classes": list(self.classes),
        }


def build_manifest(
    space: SearchSpace,
    genotype: IntArray,
    *,
    interface: ModelInterface,
    supernet: StoredSupernet,
    files: Mapping[str, Mapping[str, Any]],
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """Builds the manifest of a candidate as a JSON object.

    Args:
        space: the candidate's space.
        genotype: the candidate, shape ``(genes,)``.
        interface: input, output and classes.
        supernet: where the weights come from.
        files: ``{"file": …, "sha256": …, "size_bytes": …}`` by kind.
        measured: accuracies, latencies and size, with the device and its fingerprint, and the units that it computes
            in float in spite of their precision.
    """
    candidate = space.candidate(genotype)
    return {
        "schema": SCHEMA,
        "candidate": candidate.id,
        "summary": f"{space.describe(genotype)}, {space.describe_precision(genotype)}",
        **interface.as_json(),
        "genes": {
            "space": candidate.space,
            "canonical": space.to_string(genotype),
            "architecture": dict(candidate.architecture),
            "policy": dict(candidate.policy),
        },
        "hashes": {kind: file["sha256"] for kind, file in files.items()},
        "files": {kind: dict(file) for kind, file in files.items()},
        "supernet": supernet.id,
        "data": {"name": supernet.data_name, "fingerprint": supernet.data_fingerprint},
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in _PACKAGES}
        | _runtime_versions(files),
        "measured": dict(measured),
    }


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """The stored form: indented UTF-8 JSON."""
    return (json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest from its file.

    Raises:
        ManifestError: if it is missing, damaged or of another schema.
    """
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path} cannot be read as a manifest ({error}); export the model again.") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise ManifestError(f"{path} is not a manifest of schema {SCHEMA}; export the model again.")
    return manifest


def feed(manifest: Mapping[str, Any], pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels, uint8 (n, H, W, C), as the model's input, float32 (n, C, H, W), by the manifest alone."""
    fmt = manifest["input"]
    scaled = (pixels.astype(np.float32) * np.float32(fmt["scale"]) - np.array(fmt["mean"], np.float32)) / np.array(
        fmt["std"], np.float32
    )
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)
