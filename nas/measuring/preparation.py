"""Turns one genotype into the files that devices run, and evaluates those files.

Extraction, batch-norm recalibration, export and quantization happen once a candidate
and supernet; what is written stays under the home's cache with a record that is
written last, so that a folder with a record is complete.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from hw_profiles.network_files import NetworkFiles
from hw_profiles.runtimes.onnxruntime_runtime import load_onnx
from nas.evaluation.artifact_accuracy import artifact_accuracy
from nas.home import sha256_of, write_bytes
from nas.measuring.deployed_files import FloatImages, deployed_files, write_deployed_files
from search_spaces.errors import NasError
from search_spaces.mobilenet_v3 import MobileNetV3Space
from search_spaces.space import IntArray

if TYPE_CHECKING:
    from nas.supernet.supernet import Supernet
    from nas.training.prepared_data import PreparedData

_RECORD: Final = "prepared.json"
_REFERENCE_IMAGES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationSettings:
    """How candidates are prepared."""

    calibration_images: int = 128
    """Images that activation ranges are taken from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A candidate's files and its validation accuracy on the ONNX graph that would ship."""

    candidate_id: str
    folder: Path
    quantized: bool
    accuracy_val: float
    images_val: int
    onnx_sha256: str

    @property
    def onnx(self) -> Path:
        """The graph that would ship: float, or integer where the policy says so."""
        return self.network_files.onnx

    @property
    def weights(self) -> Path:
        """The extracted network's weights."""
        return self.folder / "weights.safetensors"

    @property
    def network_files(self) -> NetworkFiles:
        """What a runtime compiles."""
        return deployed_files(self.folder, self.candidate_id, quantized=self.quantized)

    def save(self) -> None:
        """Writes the record that makes the folder complete."""
        record = {
            "candidate_id": self.candidate_id,
            "quantized": self.quantized,
            "accuracy_val": self.accuracy_val,
            "images_val": self.images_val,
            "onnx_sha256": self.onnx_sha256,
        }
        write_bytes(self.folder / _RECORD, json.dumps(record, indent=1).encode())

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """The record of a complete folder; None where it is absent, damaged or its graph changed."""
        try:
            record: Mapping[str, Any] = json.loads((folder / _RECORD).read_text("utf-8"))
            prepared = cls(folder=folder, **record)
            complete = sha256_of(prepared.onnx) == prepared.onnx_sha256 and prepared.weights.exists()
        except (OSError, ValueError, TypeError):
            return None
        return prepared if complete else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationFailure:
    """Why a candidate has no files; the batch goes on."""

    candidate_id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedAccuracy:
    """The validation accuracy of a float network with the supernet's weights."""

    candidate_id: str
    accuracy_val: float
    images_val: int


class CandidatePreparer:
    """Prepares candidates of one supernet; loads supernet and images once.

    Not thread-safe: the supernet's batch-norm buffers are one. One process, one preparer.
    """

    def __init__(self, space: MobileNetV3Space, supernet: "Supernet", images: "PreparationImages", cache: Path) -> None:
        self._space = space
        self._supernet = supernet
        self._images = images
        self._cache = cache

    def prepare(self, genotype: IntArray) -> Prepared | PreparationFailure:
        """The candidate's files; made unless they are there. Expected failures are values.

        Args:
            genotype: canonical, shape ``(genes,)``.
        """
        candidate_id = self._space.candidate(genotype).id
        folder = self._cache / candidate_id[:2] / candidate_id
        if found := Prepared.load(folder):
            return found
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return self._make(genotype, candidate_id, folder)
        except (NasError, RuntimeError, ValueError) as error:
            return PreparationFailure(candidate_id=candidate_id, message=" ".join(str(error).split())[:500])

    def inherited_accuracy(self, genotype: IntArray) -> InheritedAccuracy | PreparationFailure:
        """The candidate's float network on the validation images, without exporting it.

        Args:
            genotype: canonical, shape ``(genes,)``, unquantized.
        """
        import torch  # noqa: PLC0415

        from nas.evaluation.accuracy import evaluate_subnet  # noqa: PLC0415

        images = self._images
        _, accuracy = evaluate_subnet(
            self._supernet,
            genotype,
            recalibration_images=torch.from_numpy(images.recalibration),
            images=torch.from_numpy(images.validation),
            labels=torch.from_numpy(images.validation_labels),
        )
        return InheritedAccuracy(
            candidate_id=self._space.candidate(genotype).id,
            accuracy_val=accuracy,
            images_val=len(images.validation),
        )

    def _make(self, genotype: IntArray, candidate_id: str, folder: Path) -> Prepared:
        # torch takes seconds to import; the command line reads records without it.
        import torch  # noqa: PLC0415

        from nas.evaluation.batch_norm import recalibrate_batch_norm  # noqa: PLC0415
        from nas.supernet.extraction import extract  # noqa: PLC0415
        from nas.supernet.static_network import save_network  # noqa: PLC0415

        images = self._images
        network = extract(self._supernet, genotype)
        recalibrate_batch_norm(network, torch.from_numpy(images.recalibration))
        network.eval()
        save_network(network, folder / "weights.safetensors")
        quantized = "int8" in self._space.network_shape(genotype).precisions.values()
        files = deployed_files(folder, candidate_id, quantized=quantized)
        write_deployed_files(network.deploy(), files, reference=images.reference, calibration=images.calibration)
        prepared = Prepared(
            candidate_id=candidate_id,
            folder=folder,
            quantized=quantized,
            accuracy_val=artifact_accuracy(load_onnx(files.onnx), images.validation, images.validation_labels),
            images_val=len(images.validation),
            onnx_sha256=sha256_of(files.onnx),
        )
        prepared.save()
        return prepared


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparationImages:
    """Normalized images, float32 (n, C, H, W), for each step; all but validation are training images."""

    recalibration: FloatImages
    calibration: FloatImages
    reference: FloatImages
    validation: FloatImages
    validation_labels: NDArray[np.int64]

    @classmethod
    def of(cls, data: "PreparedData", settings: PreparationSettings) -> Self:
        """Each step's images from a supernet's own split: the same ones for every candidate."""
        recalibration = data.recalibration_images.numpy()
        return cls(
            recalibration=recalibration,
            calibration=recalibration[: settings.calibration_images],
            reference=recalibration[-_REFERENCE_IMAGES:],
            validation=data.validation_images.numpy(),
            validation_labels=data.validation_labels.numpy(),
        )
