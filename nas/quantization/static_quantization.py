"""Post-training static quantization of chosen units, as a QDQ ONNX graph.

Weights are symmetric int8 per channel, activations asymmetric uint8 per tensor with ranges
seen on calibration images (Jacob et al., CVPR 2018). Operators of units that stay in
fp32 are excluded by name, so a policy becomes conversions exactly where the precision
changes.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from nas.home import write_atomically
from nas.quantization.activation_ranges import ActivationRanges, RangeSettings
from nas.quantization.onnx_export import ExportError, unit_of
from search_spaces.precision import Precision

QUANTIZED_OPERATORS: Final = (
    "Conv", "Gemm", "MatMul", "Add", "Mul", "GlobalAveragePool", "MaxPool", "Relu",
)  # fmt: skip


class QuantizableGraph:
    """A float graph with the ranges of its activations: made once, quantized under any policy."""

    def __init__(
        self, float_path: Path, calibration_images: NDArray[np.float32], settings: RangeSettings | None = None
    ) -> None:
        """Reads a graph and looks at its activations.

        Args:
            float_path: made by :func:`nas.quantization.onnx_export.export_onnx`.
            calibration_images: normalized, shape (n, C, H, W), n at least 1.
            settings: how ranges are chosen.

        Raises:
            ExportError: if ONNX Runtime cannot prepare it, or an activation has no finite range.
        """
        from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415 - takes a second

        with _one_sentence(), tempfile.TemporaryDirectory() as folder:
            inferred = Path(folder) / "inferred.onnx"
            quant_pre_process(float_path, inferred, skip_symbolic_shape=True, skip_optimization=True)
            self._model = onnx.load(inferred)
        self.ranges = ActivationRanges.observe(self._model, QUANTIZED_OPERATORS, calibration_images, settings)

    def quantizable(self, unit: str) -> bool:
        """Whether a unit has any operator that can be quantized."""
        return any(
            unit_of(node.name) == unit and node.op_type in QUANTIZED_OPERATORS for node in self._model.graph.node
        )

    def write(self, policy: Mapping[str, Precision], path: Path) -> None:
        """Writes the graph with the policy's int8 units quantized, completely or not at all.

        Args:
            policy: precision by unit; units left out stay in fp32.
            path: the QDQ file.

        Raises:
            ExportError: if nothing is to be quantized or ONNX Runtime cannot do it.
        """
        # Imported here: ONNX Runtime's quantizer takes a second and belongs to this method alone.
        from onnxruntime.quantization import (  # noqa: PLC0415
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )
        from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data  # noqa: PLC0415

        names = [node.name for node in self._model.graph.node]
        excluded = [name for name in names if policy.get(unit_of(name), "fp32") != "int8"]
        if len(excluded) == len(names):
            raise ExportError("the policy quantizes no operator of this network; use the float graph.")
        ends = {name: tuple(np.float32(end) for end in pair) for name, pair in self.ranges.values.items()}
        with _one_sentence(), tempfile.TemporaryDirectory() as folder:
            source, known = Path(folder) / "inferred.onnx", Path(folder) / "ranges.json"
            onnx.save(self._model, source)
            save_tensors_data(TensorsData(CalibrationMethod.MinMax, ends), known)

            def write(temporary: Path) -> None:
                quantize_static(
                    source,
                    temporary,
                    calibration_data_reader=None,
                    calibration_cache_path=known,
                    quant_format=QuantFormat.QDQ,
                    op_types_to_quantize=list(QUANTIZED_OPERATORS),
                    nodes_to_exclude=excluded,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    calibrate_method=CalibrationMethod.MinMax,
                )

            write_atomically(path, write)


def quantize_onnx(
    float_path: Path,
    policy: Mapping[str, Precision],
    calibration_images: NDArray[np.float32],
    path: Path,
) -> None:
    """Writes the graph of ``float_path`` with the policy's int8 units quantized.

    Args:
        float_path: made by :func:`nas.quantization.onnx_export.export_onnx`.
        policy: precision by unit; units left out stay in fp32.
        calibration_images: normalized, shape (n, C, H, W), n at least 1.
        path: the QDQ file; written whole or not at all.

    Raises:
        ExportError: where nothing is to be quantized or ONNX Runtime cannot do it.
    """
    QuantizableGraph(float_path, calibration_images).write(policy, path)


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Keeps the quantizer's notes off the terminal; its errors become one of ours."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    except (AssertionError, ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        raise ExportError(f"ONNX Runtime could not quantize the network: {error}") from error
    finally:
        root.setLevel(level)
