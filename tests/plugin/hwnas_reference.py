"""A third runtime, written as a user of hwnas would: ONNX's reference evaluator with convolutions in numpy.

The artifact is the ONNX file, compressed. All arithmetic is float, so int8 is emulated,
and weights are stored as they are in the graph.
"""

import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from hw_profiles.errors import ArtifactError, CompileError
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile, Execution, Precision
from hw_profiles.runtimes.protocol import FloatArray, Runtime

Array = NDArray[Any]


class Conv(OpRun):  # type: ignore[misc]
    """Convolutions over one image: depthwise ones tap by tap, others as a matrix product."""

    op_domain = ""

    def _run(self, x: Array, w: Array, bias: Array | None = None, **attributes: Any) -> tuple[Array]:
        (stride_y, stride_x), groups = attributes["strides"] or (1, 1), attributes["group"] or 1
        top, left, bottom, right = attributes["pads"] or (0, 0, 0, 0)
        image = np.pad(x[0], ((0, 0), (top, bottom), (left, right)))
        out_channels, _, kernel_y, kernel_x = w.shape
        height = (image.shape[1] - kernel_y) // stride_y + 1
        width = (image.shape[2] - kernel_x) // stride_x + 1
        taps = [
            image[:, y : y + stride_y * height : stride_y, x_ : x_ + stride_x * width : stride_x]
            for y in range(kernel_y)
            for x_ in range(kernel_x)
        ]
        if groups == len(image) == out_channels:
            weights = w.reshape(out_channels, -1, 1, 1)
            result = sum(tap * weights[:, number] for number, tap in enumerate(taps))
        else:
            columns = np.stack(taps, axis=1).reshape(-1, height * width)
            result = (w.reshape(out_channels, -1) @ columns).reshape(out_channels, height, width)
        return ((result if bias is None else result + bias[:, None, None])[None].astype(np.float32),)


class Resize(OpRun):  # type: ignore[misc]
    """Bilinear resizing with half-pixel centres; ONNX's own goes pixel by pixel."""

    op_domain = ""

    def _run(self, x: Array, roi: Any, scales: Any, sizes: Array, **attributes: Any) -> tuple[Array]:  # noqa: ARG002
        for axis in (2, 3):
            before, after = x.shape[axis], int(sizes[axis])
            centre = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
            low = np.minimum(centre.astype(np.int64), max(before - 2, 0))
            share = (centre - low).reshape((-1, 1) if axis == 2 else (1, -1)).astype(np.float32)
            high = np.minimum(low + 1, before - 1)
            x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
        return (x,)


class ReferenceExecutable:
    """A graph that is evaluated node by node."""

    def __init__(self, graph: onnx.ModelProto) -> None:
        self._evaluator = ReferenceEvaluator(graph, new_ops=[Conv, Resize])
        self._input = graph.graph.input[0].name

    def run(self, image: FloatArray) -> FloatArray:
        try:
            return np.asarray(self._evaluator.run(None, {self._input: image})[0], dtype=np.float32)
        except Exception as error:
            raise ArtifactError(f"the reference evaluator cannot run the network: {error}") from error

    def time(self, image: FloatArray, *, calls: int) -> list[float]:
        readings_ms = []
        for _ in range(calls):
            start = time.perf_counter_ns()
            self.run(image)
            readings_ms.append((time.perf_counter_ns() - start) / 1e6)
        return readings_ms


class ReferenceRuntime(Runtime):
    """Registered in ``entry_points.txt`` as ``reference = hwnas_reference:ReferenceRuntime``."""

    name = "reference"
    version = f"{onnx.__version__}+1"
    artifact_kind = "reference"
    artifact_suffix = ".onnx.z"

    def precisions(self, isa: tuple[str, ...]) -> Mapping[Precision, Execution]:  # noqa: ARG002
        return {"fp32": "native", "int8": "emulated"}

    def prepare(self) -> None:
        """Nothing: all is imported with this module."""

    def compile(self, files: NetworkFiles, profile: DeviceProfile, folder: Path) -> Path:  # noqa: ARG002
        artifact = folder / f"{files.name}.{self.name}{self.artifact_suffix}"
        try:
            graph = onnx.load(files.onnx)
            onnx.checker.check_model(graph)
        except Exception as error:
            raise CompileError(f"the reference evaluator cannot take {files.onnx.name}: {error}") from error
        folder.mkdir(parents=True, exist_ok=True)
        artifact.write_bytes(zlib.compress(graph.SerializeToString()))
        return artifact

    def load(self, artifact: Path, profile: DeviceProfile) -> ReferenceExecutable:  # noqa: ARG002
        try:
            return ReferenceExecutable(onnx.load_from_string(zlib.decompress(artifact.read_bytes())))
        except Exception as error:
            raise ArtifactError(f"the reference evaluator cannot load {artifact}: {error}") from error
