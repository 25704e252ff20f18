"""Exports stored fronts to folders: the front file and its models, all loaded and checked."""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hw_profiles.detect import detect_profiles
from hw_profiles.errors import DisagreementError
from hw_profiles.network_files import NetworkFiles
from hw_profiles.onnx_graph import graph_outputs
from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.registry import get_runtime
from nas.artifact_store import ArtifactStore
from nas.fronts.front import Baselines, Front, Member, with_artifacts
from nas.fronts.manifest import ManifestError, feed, file_names, read_manifest
from nas.home import copy_file, sha256_of, write_bytes
from nas.store.fronts import FrontInfo
from nas.workflows.front_search import ARTIFACT_PREFIX
from nas.workspace import Workspace
from search_spaces.errors import NasError, UnknownNameError, UsageError
from search_spaces.registry import get_space
from search_spaces.task import ImageShape, TaskSpec

FloatArray = NDArray[np.float32]

_CHECK_IMAGES = 16
_TOLERANCE = 2e-3
"""Largest difference between runtimes, as a fraction of the largest output."""
_QUANTIZED_TOLERANCE = 0.05
"""The same of an integer graph, on most images: a value on a rounding boundary may flip, and the flip travels on."""
_FLIPPED_TOLERANCE = 0.25
"""What a flip may do to single images; another network's outputs differ by more."""


class ExportCheckError(NasError):
    """An exported file that does not behave as its front states."""

    code: ClassVar[str] = "export-check-failed"


def stored_front(workspace: Workspace, wanted: str) -> tuple[FrontInfo, Front]:
    """The front whose id begins with ``wanted``.

    Raises:
        UnknownNameError: if none does.
        UsageError: if several do.
    """
    known = workspace.store.fronts.all()
    matches = [info for info in known if info.id.startswith(wanted)]
    if not matches or not wanted:
        raise UnknownNameError("front", wanted, tuple(info.id[:12] for info in known))
    if len(matches) > 1:
        raise UsageError(f"{len(matches)} fronts begin with {wanted!r}; give more digits.")
    return matches[0], Front.from_bytes(workspace.store.fronts.body(matches[0].id))


def export_front_file(workspace: Workspace, front: Front, path: Path) -> Front:
    """Writes a front file and its models into ``artifacts/`` beside it.

    Returns:
        The front as written: artifact paths relative to the file.

    Raises:
        NasError: if an artifact is gone or damaged.
        DiskFullError: if the disk has no space.
    """

    def written(member: Member) -> Member:
        return with_artifacts(member, _export_files(workspace, member, path.parent))

    beside = front.baselines
    exported = replace(
        front,
        members=tuple(written(member) for member in front.members),
        baselines=None
        if beside is None
        else Baselines(
            largest_fp32=written(beside.largest_fp32),
            largest_int8=written(beside.largest_int8),
            random=tuple(written(member) for member in beside.random),
        ),
    )
    write_bytes(path, exported.to_bytes())
    return exported


def _export_files(workspace: Workspace, member: Member, folder: Path) -> dict[str, str]:
    store = ArtifactStore(workspace.home, workspace.store)
    artifacts = {
        kind: workspace.store.artifacts.get(reference.removeprefix(ARTIFACT_PREFIX))
        for kind, reference in member.artifacts.items()
    }
    if not artifacts:
        return {}
    names = file_names(read_manifest(store.path(artifacts["manifest"])))
    paths: dict[str, str] = {}
    for kind, artifact in artifacts.items():
        relative = f"artifacts/{member.candidate[:16]}/{names[kind]}"
        source, target = store.path(artifact), folder / relative
        if not target.exists() or sha256_of(target) != artifact.sha256:
            copy_file(source, target)
        paths[kind] = relative
    return paths


def check_export(front: Front, folder: Path) -> int:
    """Loads every exported file back and compares what the files of a member compute.

    On random images the weights must rebuild the float network, which must agree with the ONNX
    graph where nothing is quantized; and each runtime that is installed here checks its own
    artifact against the graph (node by node, without the optimizations of a runtime, whose
    integer kernels round otherwise).

    Returns:
        The number of files checked.

    Raises:
        ExportCheckError: if a file disagrees.
        ArtifactError: if an artifact cannot be loaded.
        ManifestError: if a manifest is damaged or does not describe its files.
    """
    members = front.members + (front.baselines.members if front.baselines else ())
    unique = {member.candidate: member for member in members if member.artifacts}
    return sum(_check_member(member, front.device, folder) for member in unique.values())


def _check_member(member: Member, device: str, folder: Path) -> int:
    paths = {kind: folder / relative for kind, relative in member.artifacts.items()}
    manifest = read_manifest(paths["manifest"])
    for kind, digest in manifest["hashes"].items():
        if sha256_of(paths[kind]) != digest:
            raise ManifestError(f"{paths[kind]} is not the file that its manifest describes; export it again.")
    task = TaskSpec.image_classification(
        **ImageShape(*manifest["input"]["shape"][1:])._asdict(), classes=len(manifest["classes"])
    )
    pixels = np.random.default_rng(0).integers(
        0, 256, size=(_CHECK_IMAGES, task.image.height, task.image.width, task.image.channels), dtype=np.uint8
    )
    images = feed(manifest, pixels)
    outputs = _run_weights(paths["weights"], manifest, task, images)
    quantized = member.precision != "fp32"
    if not quantized:
        _compare_weights(member, outputs, graph_outputs(paths["onnx"], images))
    with tempfile.TemporaryDirectory() as scratch:
        reference = Path(scratch) / "reference.npz"
        np.savez(reference, input=images, output=outputs)
        files = NetworkFiles(
            name=member.candidate,
            onnx=paths["onnx"],
            quantized=quantized,
            reference=reference,
            relative_tolerance=_TOLERANCE,
            quantized_tolerance=_FLIPPED_TOLERANCE,
            quantized_median_tolerance=_QUANTIZED_TOLERANCE,
        )
        for kind, profile in _checkable(paths, device):
            _check_artifact(files, kind, paths[kind], profile)
    return len(paths)


def _checkable(kinds: Iterable[str], device: str) -> list[tuple[str, DeviceProfile]]:
    """The kinds that a runtime of this machine loads, with its profile; of the ONNX file, the device's own alone."""
    here = [(get_runtime(profile.runtime).artifact_kind, profile) for profile in detect_profiles()]
    return [
        (kind, profile) for kind, profile in here if kind in set(kinds) and (kind != "onnx" or profile.id == device)
    ]


def _check_artifact(files: NetworkFiles, kind: str, artifact: Path, profile: DeviceProfile) -> None:
    runtime = get_runtime(profile.runtime)
    try:
        runtime.check(runtime.load(artifact, profile), files)
    except DisagreementError as error:
        raise ExportCheckError(
            f"the {kind} file of candidate {files.name[:12]} is wrong: {error} Do not deploy it, and report this error."
        ) from error


def _run_weights(path: Path, manifest: Mapping[str, Any], task: TaskSpec, images: FloatArray) -> FloatArray:
    import torch  # noqa: PLC0415 - torch is slow to import and only this check needs it

    from nas.networks.weight_files import load_network  # noqa: PLC0415 - imports torch

    space = get_space(manifest["genes"]["space"], task)
    network = load_network(space, path)
    with torch.no_grad():
        outputs: FloatArray = network(torch.from_numpy(images)).numpy()
    return outputs


def _compare_weights(member: Member, found: FloatArray, expected: FloatArray) -> None:
    """Compares outputs ``(images, classes)``.

    Raises:
        ExportCheckError: if they disagree.
    """
    error = float(np.abs(found - expected).max()) / max(float(np.abs(expected).max()), 1e-9)
    if not error <= _TOLERANCE:
        raise ExportCheckError(
            f"the weights file of candidate {member.candidate[:12]} differs from its ONNX graph by {error:.2%} of the"
            f" largest output ({_TOLERANCE:.2%} is allowed); do not deploy it, and report this error."
        )
