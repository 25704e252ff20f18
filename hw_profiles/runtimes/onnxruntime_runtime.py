"""ONNX Runtime on the CPU: the artifact is the ONNX file, optimized as it is loaded."""

# ruff: noqa: PLC0415 - a runtime is imported when it is used: naming and describing it must be fast

import shutil
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hw_profiles.errors import ArtifactError, CompileError
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile, Execution, Precision
from hw_profiles.runtimes.protocol import FloatArray

if TYPE_CHECKING:
    import onnxruntime

RECIPE: Final = 1
"""Raised whenever the session options below change what is timed."""


class OnnxRuntimeExecutable:
    """A session with its input and output bound to fixed memory."""

    def __init__(self, session: "onnxruntime.InferenceSession") -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name

    def run(self, image: FloatArray) -> FloatArray:
        """See :class:`hw_profiles.runtimes.protocol.Executable`."""
        try:
            outputs = self._session.run([self._output], {self._input: image})
        except Exception as error:  # its errors have no common root
            raise ArtifactError(f"ONNX Runtime cannot run the network: {error}") from error
        return np.asarray(outputs[0], dtype=np.float32)

    def time(self, image: FloatArray, *, calls: int) -> list[float]:
        """See :class:`hw_profiles.runtimes.protocol.Executable`."""
        binding = self._session.io_binding()
        binding.bind_cpu_input(self._input, image)
        binding.bind_output(self._output)
        clock, run = time.perf_counter_ns, self._session.run_with_iobinding
        readings_ns = [0] * calls
        for call in range(calls):
            start = clock()
            run(binding)
            readings_ns[call] = clock() - start
        return [reading / 1e6 for reading in readings_ns]


class OnnxRuntimeRuntime:
    """Compiles by loading once, which is when ONNX Runtime reads and optimizes a graph."""

    name = "onnxruntime"
    artifact_suffix = ".onnx"

    @property
    def version(self) -> str:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`."""
        return f"{version('onnxruntime')}+recipe{RECIPE}"

    def precisions(self, isa: tuple[str, ...]) -> Mapping[Precision, Execution]:  # noqa: ARG002 - the same on all
        """QDQ graphs fuse into integer kernels on every processor that it supports."""
        return {"fp32": "native", "int8": "native"}

    def prepare(self) -> None:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`."""
        import onnxruntime  # noqa: F401

    def compile(self, files: NetworkFiles, profile: DeviceProfile, folder: Path) -> Path:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`."""
        artifact = folder / f"{files.name}.{self.name}{self.artifact_suffix}"
        try:
            _session(files.onnx, profile.threads)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files.onnx, artifact)
        except Exception as error:  # its errors have no common root
            raise CompileError(f"ONNX Runtime cannot take {files.onnx.name}: {error}") from error
        return artifact

    def load(self, artifact: Path, profile: DeviceProfile) -> OnnxRuntimeExecutable:
        """See :class:`hw_profiles.runtimes.protocol.Runtime`."""
        return load_onnx(artifact, threads=profile.threads)


def load_onnx(onnx: Path, *, threads: int = 1) -> OnnxRuntimeExecutable:
    """An ONNX file, optimized as it would run, without a profile.

    Raises:
        ArtifactError: where the file is not a usable graph.
    """
    try:
        return OnnxRuntimeExecutable(_session(onnx, threads))
    except Exception as error:  # its errors have no common root
        raise ArtifactError(f"ONNX Runtime cannot load {onnx}: {error}") from error


def graph_outputs(onnx: Path, images: FloatArray) -> FloatArray:
    """What an ONNX graph says, node by node without optimizations: (k, classes) for (k, C, H, W).

    Raises:
        ArtifactError: where the graph cannot be loaded or run.
    """
    try:
        executable = OnnxRuntimeExecutable(_session(onnx, threads=1, optimize=False))
    except Exception as error:  # its errors have no common root
        raise ArtifactError(f"ONNX Runtime cannot load {onnx}: {error}") from error
    return np.concatenate([executable.run(images[index : index + 1]) for index in range(len(images))])


def _session(path: Path, threads: int, *, optimize: bool = True) -> "onnxruntime.InferenceSession":
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
