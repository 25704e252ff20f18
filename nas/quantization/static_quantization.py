"""Post-training static quantization of chosen units, as a QDQ ONNX graph.

Weights are symmetric and have the bits and granularity of their unit's precision, stored as int8 or int4;
activations are asymmetric uint8 per tensor with ranges seen on calibration images (Jacob et
al., CVPR 2018). Operators of units that stay in fp32 are excluded by name, so a policy
becomes conversions exactly where the precision changes. In an integer unit, what attention does
between its linear layers stays float: the products of two activations, softmax, and the sums of
tokens that layer norms read.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import onnx
from numpy.typing import NDArray

from hw_profiles.quantized_units import QUANTIZED_OPERATORS, unit_of
from nas.home import write_atomically
from nas.quantization.activation_ranges import ActivationRanges, RangeSettings
from nas.quantization.bias_correction import correct_biases
from nas.quantization.equalization import equalize
from nas.quantization.narrow_weights import narrow_weights, weight_ranges
from nas.quantization.onnx_export import ExportError
from nas.quantization.trained_quantization import TrainedQuantization
from search_spaces.precision import SPECS, Precision
from search_spaces.quant_spec import QuantSpec

_ARITHMETIC: Final = ("Add", "Mul")
_IMAGE_RANK: Final = 4
"""Batch, channels, height, width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationRecipe:
    """How a network is quantized after training."""

    ranges: RangeSettings = field(default_factory=RangeSettings)
    equalization: bool = False
    """Whether neighbouring layers share their channels' ranges (:mod:`nas.quantization.equalization`)."""
    bias_correction: bool = False
    """Whether biases make up for what rounding of weights shifts each channel's mean by."""


class QuantizableGraph:
    """A float graph with the ranges of its activations: made once, quantized under any policy."""

    def __init__(
        self,
        model: onnx.ModelProto,
        ranges: ActivationRanges,
        *,
        bias_correction: bool = False,
        weight_scales: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        """A graph whose ranges are known; :meth:`calibrated` and :meth:`trained` find them.

        Args:
            model: a float graph with the shapes of all tensors.
            ranges: of all activations that its operators read or write.
            bias_correction: see :class:`QuantizationRecipe`.
            weight_scales: by the weights' names, see :class:`TrainedQuantization`; others follow from the weights.
        """
        self._model = model
        self._float_nodes = _float_nodes(model)
        self._bias_correction = bias_correction
        self._weight_scales = weight_scales or {}
        self.ranges = ranges

    @classmethod
    def calibrated(
        cls, float_path: Path, calibration_images: NDArray[np.float32], recipe: QuantizationRecipe | None = None
    ) -> Self:
        """Reads a graph and looks at its activations.

        Args:
            float_path: made by :func:`nas.quantization.onnx_export.export_onnx`.
            calibration_images: normalized, shape (n, C, H, W), n at least 1.
            recipe: how it is quantized.

        Raises:
            ExportError: if ONNX Runtime cannot prepare it, or an activation has no finite range.
        """
        chosen = recipe or QuantizationRecipe()
        model = _with_shapes(float_path)
        if chosen.equalization:
            model = equalize(model)
        ranges = ActivationRanges.observe(model, QUANTIZED_OPERATORS, calibration_images, chosen.ranges)
        return cls(model, ranges, bias_correction=chosen.bias_correction)

    @classmethod
    def trained(cls, float_path: Path, quantization: TrainedQuantization) -> Self:
        """Reads the graph of a network after quantization-aware training; its scales stay as they were.

        Args:
            float_path: made by :func:`nas.quantization.onnx_export.export_onnx`.
            quantization: of the training.

        Raises:
            ExportError: if ONNX Runtime cannot prepare it.
        """
        ranges = ActivationRanges(values=quantization.ranges)
        return cls(_with_shapes(float_path), ranges, weight_scales=quantization.weight_scales)

    def quantizable(self, unit: str) -> bool:
        """Whether a unit has any operator that can be quantized."""
        return any(
            unit_of(node.name) == unit and node.op_type in QUANTIZED_OPERATORS and node.name not in self._float_nodes
            for node in self._model.graph.node
        )

    def write(self, policy: Mapping[str, Precision], path: Path) -> None:
        """Writes the graph with the policy's reduced units quantized, completely or not at all.

        Args:
            policy: precision by unit; units left out stay in fp32.
            path: the QDQ file.

        Raises:
            ExportError: if nothing is to be quantized or ONNX Runtime cannot do it.
        """
        from onnxruntime.quantization import (  # noqa: PLC0415 - takes a second
            CalibrationMethod,
            QuantFormat,
            QuantType,
            quantize_static,
        )
        from onnxruntime.quantization.calibrate import TensorsData, save_tensors_data  # noqa: PLC0415 - takes a second

        specs = {unit: _spec(precision) for unit, precision in policy.items()}
        integer = {unit for unit, spec in specs.items() if spec.quantized}
        excluded = [node.name for node in self._model.graph.node if unit_of(node.name) not in integer]
        if not any(self.quantizable(unit) for unit in integer):
            raise ExportError("the policy quantizes no operator of this network; use the float graph.")
        ends = {name: tuple(np.float32(end) for end in pair) for name, pair in self.ranges.values.items()}
        with _one_sentence(), tempfile.TemporaryDirectory() as folder:
            source, known = Path(folder) / "inferred.onnx", Path(folder) / "ranges.json"
            model = correct_biases(self._model, specs, self.ranges) if self._bias_correction else self._model
            onnx.save(model, source)
            save_tensors_data(TensorsData(CalibrationMethod.MinMax, ends), known)

            def write(temporary: Path) -> None:
                quantize_static(
                    source,
                    temporary,
                    calibration_data_reader=None,
                    calibration_cache_path=known,
                    quant_format=QuantFormat.QDQ,
                    op_types_to_quantize=list(QUANTIZED_OPERATORS),
                    nodes_to_exclude=sorted({*excluded, *self._float_nodes}),
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    extra_options={
                        "TensorQuantOverrides": weight_ranges(self._model, specs) | _fixed_scales(self._weight_scales)
                    },
                    calibrate_method=CalibrationMethod.MinMax,
                )
                narrow_weights(temporary, self._model, specs)

            write_atomically(path, write)


def quantize_onnx(
    float_path: Path,
    policy: Mapping[str, Precision],
    calibration_images: NDArray[np.float32],
    path: Path,
) -> None:
    """Writes the graph of ``float_path`` with the policy's reduced units quantized.

    Args:
        float_path: made by :func:`nas.quantization.onnx_export.export_onnx`.
        policy: precision by unit; units left out stay in fp32.
        calibration_images: normalized, shape (n, C, H, W), n at least 1.
        path: the QDQ file; written whole or not at all.

    Raises:
        ExportError: if nothing is to be quantized or ONNX Runtime cannot do it.
    """
    QuantizableGraph.calibrated(float_path, calibration_images).write(policy, path)


def _with_shapes(float_path: Path) -> onnx.ModelProto:
    """The graph with the shapes of all tensors."""
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415 - takes a second

    with _one_sentence(), tempfile.TemporaryDirectory() as folder:
        inferred = Path(folder) / "inferred.onnx"
        quant_pre_process(float_path, inferred, skip_symbolic_shape=True, skip_optimization=True)
        return onnx.load(inferred)


def _fixed_scales(scales: Mapping[str, NDArray[np.float32]]) -> dict[str, list[dict[str, Any]]]:
    """Scales of weights as the quantizer takes them."""
    zero = np.array(0, dtype=np.int8)
    fixed: dict[str, list[dict[str, Any]]] = {}
    for name, scale in scales.items():
        fixed[name] = [{"scale": one, "zero_point": zero} for one in scale.reshape(-1)]
        if scale.ndim:
            fixed[name][0]["axis"] = int(np.argmax(scale.shape))
    return fixed


def _spec(precision: Precision) -> QuantSpec:
    if precision not in SPECS:
        raise ExportError(f"the policy has precision {precision!r}; registered are {', '.join(SPECS)}.")
    return SPECS[precision]


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
