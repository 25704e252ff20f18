"""Sensitivity of a network's units to quantization, on the exported graphs.

A unit's sensitivity in a precision is the Kullback-Leibler divergence from the float
network's class probabilities to those with that unit quantized, averaged over calibration
images, and the rise of the cross-entropy if labels are known. Every figure comes from a
real quantized ONNX graph with the calibration's ranges.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hw_profiles.onnx_graph import load_onnx
from nas.home import sha256_of, write_bytes
from nas.quantization.activation_ranges import FloatImages
from nas.quantization.onnx_export import ExportError
from nas.quantization.static_quantization import QuantizableGraph, QuantizationRecipe
from search_spaces.precision import Precision

FloatArray = NDArray[np.float64]
_VERSION: Final = 1
"""Raised when a change of ours changes a figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSensitivity:
    """What one unit in one precision costs; all others are in float."""

    unit: str
    precision: Precision
    divergence: float | None
    """Mean divergence of the class probabilities in nats, 0 or more; None where the unit cannot be quantized."""
    loss_increase: float | None
    """Mean cross-entropy with the unit quantized less the float network's, in nats; None without labels."""
    agreement: float | None
    """Fraction of the images with the float network's class."""
    reason: str | None = None
    """Why the unit cannot be quantized, and so stays in float."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSensitivity:
    """The sensitivity of every unit of one network."""

    units: tuple[UnitSensitivity, ...]
    """One entry per unit and reduced precision, in the order of the units."""
    together: tuple[UnitSensitivity, ...]
    """The whole network in each precision, as a unit called ``all``: how far the sum over units holds."""
    float_loss: float | None
    """Mean cross-entropy of the float network, in nats; None without labels."""
    images: int

    def of(self, unit: str, precision: str) -> UnitSensitivity:
        """The entry of a unit in a precision.

        Raises:
            KeyError: if there is none.
        """
        for entry in self.units:
            if (entry.unit, entry.precision) == (unit, precision):
                return entry
        raise KeyError((unit, precision))

    def as_json(self) -> dict[str, Any]:
        """Every figure as a JSON object."""
        return {
            "units": [asdict(entry) for entry in self.units],
            "together": [asdict(entry) for entry in self.together],
            "float_loss": self.float_loss,
            "images": self.images,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "NetworkSensitivity":
        """Inverse of :meth:`as_json`."""
        return cls(
            units=tuple(UnitSensitivity(**entry) for entry in row["units"]),
            together=tuple(UnitSensitivity(**entry) for entry in row["together"]),
            float_loss=row["float_loss"],
            images=row["images"],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SensitivityImages:
    """What sensitivities are measured on: images (n, C, H, W), normalized, and labels int64 (n,) if known."""

    images: FloatImages
    labels: NDArray[np.int64] | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the images and labels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).tobytes())
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()


def measure_sensitivity(
    float_path: Path,
    units: Sequence[str],
    precisions: Sequence[Precision],
    data: SensitivityImages,
    recipe: QuantizationRecipe | None = None,
) -> NetworkSensitivity:
    """Quantizes the units of a float graph one at a time and compares the outputs; deterministic.

    A unit that cannot be quantized is an entry with the reason.

    Args:
        float_path: made by :func:`nas.quantization.onnx_export.export_onnx`.
        units: its units, in order.
        precisions: the reduced ones, each tried for every unit.
        data: what ranges are taken from and outputs are compared on.
        recipe: how units are quantized.

    Raises:
        ExportError: if the float graph itself has no finite activations.
    """
    graph = QuantizableGraph.calibrated(float_path, data.images, recipe)
    reference = _log_probabilities(_logits(float_path, data.images))
    float_loss = _loss(reference, data.labels)

    def entry(name: str, precision: Precision, policy: Mapping[str, Precision], folder: Path) -> UnitSensitivity:
        path = folder / "quantized.onnx"
        try:
            if not any(graph.quantizable(unit) for unit in policy):
                raise ExportError(f"no operator of unit {name} has an integer form, so it stays in float.")
            graph.write(policy, path)
            found = _log_probabilities(_logits(path, data.images))
        except ExportError as error:
            return UnitSensitivity(
                unit=name, precision=precision, divergence=None, loss_increase=None, agreement=None, reason=str(error)
            )
        loss = _loss(found, data.labels)
        return UnitSensitivity(
            unit=name,
            precision=precision,
            divergence=mean_divergence(reference, found),
            loss_increase=None if loss is None or float_loss is None else loss - float_loss,
            agreement=float((reference.argmax(axis=1) == found.argmax(axis=1)).mean()),
        )

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        return NetworkSensitivity(
            units=tuple(
                entry(unit, precision, {unit: precision}, folder) for unit in units for precision in precisions
            ),
            together=tuple(
                entry("all", precision, dict.fromkeys(units, precision), folder) for precision in precisions
            ),
            float_loss=float_loss,
            images=len(data.images),
        )


def cached_sensitivity(
    cache: Path,
    float_path: Path,
    units: Sequence[str],
    precisions: Sequence[Precision],
    data: SensitivityImages,
) -> NetworkSensitivity:
    """:func:`measure_sensitivity`, kept in a folder by the content that it follows from.

    Args:
        cache: files are named by what was measured; they can be deleted at any time.
        float_path: see there, as the others.
        units: in order.
        precisions: the reduced ones.
        data: images and labels.
    """
    meaning = [
        _VERSION,
        sha256_of(float_path),
        list(units),
        list(precisions),
        data.digest,
        asdict(QuantizationRecipe()),
    ]
    key = hashlib.sha256(json.dumps(meaning).encode()).hexdigest()
    path = cache / f"sensitivity-{key[:32]}.json"
    try:
        return NetworkSensitivity.from_json(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError):  # absent or damaged
        measured = measure_sensitivity(float_path, units, precisions, data)
    write_bytes(path, json.dumps(measured.as_json(), indent=1).encode())
    return measured


def mean_divergence(reference: FloatArray, found: FloatArray) -> float:
    """Mean Kullback-Leibler divergence in nats of log probabilities of shape ``(n, classes)``; 0 or more."""
    each = (np.exp(reference) * (reference - found)).sum(axis=1)
    return max(float(each.mean()), 0.0)


def _logits(path: Path, images: FloatImages) -> FloatArray:
    graph = load_onnx(path)
    outputs = np.concatenate([graph.run(image[None]) for image in images]).astype(np.float64)
    if not np.isfinite(outputs).all():
        raise ExportError("the network's outputs are not finite on the calibration images.")
    return outputs


def _log_probabilities(logits: FloatArray) -> FloatArray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_probabilities


def _loss(log_probabilities: FloatArray, labels: NDArray[np.int64] | None) -> float | None:
    if labels is None:
        return None
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())
