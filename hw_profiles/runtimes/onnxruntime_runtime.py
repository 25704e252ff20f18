"""ONNX Runtime on the CPU: the artifact is the network's ONNX file, optimized as it is loaded."""

# ruff: noqa: PLC0415 - a runtime is imported when it is used: naming and describing it must be fast

import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from hw_profiles.errors import ArtifactError, CompileError
from hw_profiles.network_files import NetworkFiles
from hw_profiles.onnx_graph import OnnxExecutable, load_onnx
from hw_profiles.profile import DeviceProfile, Execution
from hw_profiles.runtimes.protocol import Runtime, WeightBits
from search_spaces.precision import SPECS, Precision

RECIPE: Final = 1
"""Raised whenever the session options change what is timed."""

_PACKED_BITS: Final = 4


class OnnxRuntimeRuntime(Runtime):
    """Compiles by loading once, which is when ONNX Runtime reads and optimizes a graph."""

    name = "onnxruntime"
    artifact_kind = "onnx"
    artifact_suffix = ".onnx"
    artifact_file = "model.onnx"

    @property
    def version(self) -> str:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`."""
        return f"{version('onnxruntime')}+recipe{RECIPE}"

    def precisions(self, isa: tuple[str, ...]) -> Mapping[Precision, Execution]:  # noqa: ARG002 - the same on all
        """Its integer kernels, which every processor has, take 8-bit weights; 4-bit ones are computed in float."""
        return {
            name: "native" if spec.stored_weight_bits != _PACKED_BITS else "emulated" for name, spec in SPECS.items()
        }

    def weight_bits(self, precision: Precision) -> WeightBits:
        """The artifact is the graph, in which 4-bit weights are packed."""
        return SPECS[precision].stored_weight_bits

    def prepare(self) -> None:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`."""
        import onnxruntime  # noqa: F401

    def compile(self, files: NetworkFiles, profile: DeviceProfile, folder: Path) -> Path:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`; the artifact holds the same bytes as the graph."""
        artifact = folder / f"{files.name}.{self.name}{self.artifact_suffix}"
        try:
            load_onnx(files.onnx, threads=profile.threads)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files.onnx, artifact)
        except (ArtifactError, OSError) as error:
            raise CompileError(f"ONNX Runtime cannot load {files.onnx.name}: {error}") from error
        return artifact

    def load(self, artifact: Path, profile: DeviceProfile) -> OnnxExecutable:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`."""
        return load_onnx(artifact, threads=profile.threads)
