"""Post-training static quantization of chosen units, as a QDQ ONNX graph.

Weights are symmetric int8 a channel, activations asymmetric uint8 a tensor with ranges
seen on calibration images (Jacob et al., CVPR 2018). Operators of units that stay in
fp32 are excluded by name, so a policy becomes conversions exactly where the precision
changes. In an integer unit, what attention does between its linear layers stays float: the
products of two activations, softmax, and the sums of tokens that layer norms read.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from numpy.typing import NDArray

from nas.home import write_atomically
from nas.quantization.onnx_export import INPUT_NAME, ExportError, unit_of
from search_spaces.precision import Precision

QUANTIZED_OPERATORS: Final = (
    "Conv", "Gemm", "MatMul", "Add", "Mul", "GlobalAveragePool", "MaxPool", "Relu",
)  # fmt: skip

_ARITHMETIC: Final = ("Add", "Mul")
_IMAGE_RANK: Final = 4
"""Batch, channels, height, width."""


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
    # Imported here: ONNX Runtime's quantizer takes a second and belongs to this function alone.
    from onnxruntime.quantization import (  # noqa: PLC0415
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images: Iterator[NDArray[np.float32]] = iter(calibration_images)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:  # type: ignore[type-arg,unused-ignore]
            image = next(self._images, None)
            return None if image is None else {INPUT_NAME: image[None]}

    names = [node.name for node in onnx.load(float_path, load_external_data=False).graph.node]
    excluded = {name for name in names if policy.get(unit_of(name), "fp32") != "int8"}
    if len(excluded) == len(names):
        raise ExportError("the policy quantizes no operator of this network; use the float graph.")
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            inferred = Path(folder) / "inferred.onnx"
            quant_pre_process(float_path, inferred, skip_symbolic_shape=True, skip_optimization=True)
            excluded |= _float_nodes(onnx.load(inferred, load_external_data=False))

            def write(temporary: Path) -> None:
                quantize_static(
                    inferred,
                    temporary,
                    Images(),
                    quant_format=QuantFormat.QDQ,
                    op_types_to_quantize=list(QUANTIZED_OPERATORS),
                    nodes_to_exclude=sorted(excluded),
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    calibrate_method=CalibrationMethod.MinMax,
                )

            write_atomically(path, write)
    except (ValueError, RuntimeError, onnx.checker.ValidationError) as error:
        raise ExportError(f"ONNX Runtime could not quantize the network: {error}") from error
    finally:
        root.setLevel(level)


def _float_nodes(model: onnx.ModelProto) -> set[str]:
    """Names of nodes that stay float in integer units: products of activations, arithmetic on other than images."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    ranks = {entry.name: len(entry.type.tensor_type.shape.dim) for entry in (*graph.value_info, *graph.output)}
    return {
        node.name
        for node in graph.node
        if (node.op_type == "MatMul" and not constants & set(node.input))
        or (node.op_type in _ARITHMETIC and ranks.get(node.output[0], _IMAGE_RANK) != _IMAGE_RANK)
        or _is_scaling(node, constants)
    }


def _is_scaling(node: onnx.NodeProto, constants: set[str]) -> bool:
    """Whether a tensor is multiplied by a constant, as attention scales its queries."""
    return node.op_type == "Mul" and bool(constants & set(node.input))
