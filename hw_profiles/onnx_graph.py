"""Evaluation of ONNX graphs with ONNX Runtime, as a tool on this machine.

The graph is the common form of a network: quantization writes it, accuracies are counted
on it, and every runtime's artifact is compared with it. The device runtime of the same name
is :mod:`hw_profiles.runtimes.onnxruntime_runtime`.
"""

# ruff: noqa: PLC0415 - ONNX Runtime is imported when it is used: naming and describing it must be fast

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hw_profiles.errors import ArtifactError

if TYPE_CHECKING:
    import onnxruntime

FloatArray = NDArray[np.float32]


class OnnxExecutable:
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


def load_onnx(onnx: Path, *, threads: int = 1, optimize: bool = True) -> OnnxExecutable:
    """Loads an ONNX file without a device profile.

    Args:
        onnx: the file.
        threads: for the operators of one run.
        optimize: whether ONNX Runtime may fuse and replace operators, as it does on a device.

    Raises:
        ArtifactError: if the file is not a usable graph.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        return OnnxExecutable(ort.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"]))
    except Exception as error:  # its errors have no common root
        raise ArtifactError(f"ONNX Runtime cannot load {onnx}: {error}") from error


def graph_outputs(onnx: Path, images: FloatArray) -> FloatArray:
    """Outputs of an ONNX graph node by node, without optimizations: (k, classes) for images (k, C, H, W).

    Raises:
        ArtifactError: if the graph cannot be loaded or run.
    """
    executable = load_onnx(onnx, optimize=False)
    return np.concatenate([executable.run(images[index : index + 1]) for index in range(len(images))])
