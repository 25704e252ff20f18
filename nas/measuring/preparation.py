"""Exports a genotype to the files that devices run, and evaluates the accuracy of those files.

Building, export and quantization happen once per candidate and weight source; what is
written stays under the home's cache with a record that is written last, so that a folder
with a record is complete.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from hw_profiles.network_files import NetworkFiles
from hw_profiles.onnx_graph import load_onnx
from nas.evaluation.artifact_accuracy import artifact_accuracy
from nas.home import sha256_of, write_bytes
from nas.measuring.deployed_files import deployed_files, write_deployed_files
from nas.measuring.weight_source import Weights, WeightSource
from nas.quantization.sensitivity import NetworkSensitivity, SensitivityImages, cached_sensitivity
from nas.store.evaluations import installed_version
from search_spaces.errors import NasError
from search_spaces.precision import SPECS, Precision
from search_spaces.space import IntArray, SearchSpace

_RECORD: Final = "prepared.json"
_WEIGHTS: Final = "weights.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationReading:
    """The validation accuracy of the ONNX graph that would be exported."""

    accuracy: float
    """A fraction."""
    images: int
    version: str
    """What it was counted with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A candidate's files and, if its weights are trained, their validation accuracy."""

    candidate_id: str
    folder: Path
    quantized: bool
    quantized_tolerance: float
    onnx_sha256: str
    validation: ValidationReading | None
    """None for random weights."""

    @property
    def accuracy_val(self) -> float:
        """Fraction of the validation images.

        Raises:
            NasError: for random weights.
        """
        return self._reading.accuracy

    @property
    def images_val(self) -> int:
        """Number of validation images; errors as :attr:`accuracy_val`."""
        return self._reading.images

    @property
    def onnx(self) -> Path:
        """The graph that would ship: float, or integer if the policy says so."""
        return self.network_files.onnx

    @property
    def weights(self) -> Path:
        """The network's weights; there is no such file for random ones."""
        return self.folder / _WEIGHTS

    @property
    def network_files(self) -> NetworkFiles:
        """What a runtime compiles."""
        files = deployed_files(self.folder, self.candidate_id, quantized=self.quantized)
        return replace(files, quantized_tolerance=self.quantized_tolerance)

    @property
    def _reading(self) -> ValidationReading:
        if self.validation is None:
            raise NasError(f"candidate {self.candidate_id[:12]} has random weights and therefore no accuracy.")
        return self.validation

    def save(self) -> None:
        """Writes the record that makes the folder complete."""
        record: dict[str, Any] = {
            "candidate_id": self.candidate_id,
            "quantized": self.quantized,
            "onnx_sha256": self.onnx_sha256,
        }
        if self.validation is not None:
            record["validation"] = {
                "accuracy": self.validation.accuracy,
                "images": self.validation.images,
                "version": self.validation.version,
            }
        write_bytes(self.folder / _RECORD, json.dumps(record, indent=1).encode())

    @classmethod
    def load(cls, folder: Path, source: WeightSource) -> Self | None:
        """The record of a complete folder.

        None if it is absent, damaged, its graph changed, or its accuracy was counted by another version.
        """
        try:
            record: Mapping[str, Any] = json.loads((folder / _RECORD).read_text("utf-8"))
            reading = record.get("validation")
            prepared = cls(
                candidate_id=record["candidate_id"],
                folder=folder,
                quantized=record["quantized"],
                quantized_tolerance=source.quantized_tolerance,
                onnx_sha256=record["onnx_sha256"],
                validation=None if reading is None else ValidationReading(**reading),
            )
            complete = sha256_of(prepared.onnx) == prepared.onnx_sha256
            if source.supernet_id is not None:
                current = prepared.validation is not None and prepared.validation.version == installed_version("val")
                complete = complete and current and prepared.weights.exists()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return prepared if complete else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationFailure:
    """Why a candidate has no files; the batch continues."""

    candidate_id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InheritedAccuracy:
    """The validation accuracy of a float network with the supernet's weights."""

    candidate_id: str
    accuracy_val: float
    images_val: int


class PreparedFiles:
    """Finds the prepared candidates of a weight source; needs neither torch nor the weights."""

    def __init__(self, source: WeightSource, space: SearchSpace) -> None:
        self._source = source
        self._space = space

    def folder(self, candidate_id: str) -> Path:
        """Where a candidate's files lie."""
        return self._source.cache / candidate_id[:2] / candidate_id

    def find(self, genotype: IntArray) -> Prepared | None:
        """A canonical genotype's files if they are there already."""
        return Prepared.load(self.folder(self._space.candidate(genotype).id), self._source)


class NetworkPreparer:
    """Prepares networks with one source's weights, loaded once.

    Not thread-safe: the supernet's batch-norm buffers are one. One process, one preparer.
    """

    def __init__(self, source: WeightSource) -> None:
        """Loads the weights; errors as :meth:`nas.measuring.weight_source.WeightSource.load`."""
        self._source = source
        self._space = source.space
        self._files = PreparedFiles(source, self._space)
        self._weights: Weights = source.load()

    @property
    def weights(self) -> Weights:
        """What networks are prepared with."""
        return self._weights

    def prepare(self, genotype: IntArray) -> Prepared | PreparationFailure:
        """The candidate's files; made unless they are there. Expected failures are values.

        Args:
            genotype: canonical, shape ``(genes,)``.
        """
        if found := self._files.find(genotype):
            return found
        candidate_id = self._space.candidate(genotype).id
        try:
            return self._make(genotype, candidate_id)
        except (NasError, RuntimeError, ValueError) as error:
            return PreparationFailure(candidate_id=candidate_id, message=" ".join(str(error).split())[:500])

    def inherited_accuracy(self, genotype: IntArray) -> InheritedAccuracy | PreparationFailure:
        """The candidate's float network on the validation images, without exporting it.

        Args:
            genotype: canonical, shape ``(genes,)``, unquantized.
        """
        accuracy, images = self._weights.float_accuracy(genotype)
        candidate_id = self._space.candidate(genotype).id
        return InheritedAccuracy(candidate_id=candidate_id, accuracy_val=accuracy, images_val=images)

    def sensitivity(
        self, genotype: IntArray, precisions: tuple[Precision, ...]
    ) -> NetworkSensitivity | PreparationFailure:
        """What each unit of the candidate's architecture loses when it alone is quantized.

        Args:
            genotype: canonical, shape ``(genes,)``; its policy does not matter.
            precisions: reduced ones of the space, each tried for every unit.
        """
        space = self._space
        plain = space.unquantized(genotype)
        prepared = self.prepare(plain)
        if isinstance(prepared, PreparationFailure):
            return prepared
        try:
            return cached_sensitivity(
                prepared.folder,
                prepared.onnx,
                tuple(space.unit_precisions(plain)),
                precisions,
                SensitivityImages(images=self._weights.calibration, labels=self._weights.calibration_labels),
            )
        except (NasError, RuntimeError, ValueError) as error:
            return PreparationFailure(candidate_id=prepared.candidate_id, message=" ".join(str(error).split())[:500])

    def _make(self, genotype: IntArray, candidate_id: str) -> Prepared:
        folder = self._files.folder(candidate_id)
        folder.mkdir(parents=True, exist_ok=True)
        weights = self._weights
        network = weights.network(genotype)
        weights.save(network, folder / _WEIGHTS)
        quantized = any(SPECS[precision].quantized for precision in network.precisions.values())
        files = deployed_files(folder, candidate_id, quantized=quantized)
        write_deployed_files(
            network.deploy(),
            files,
            reference=weights.reference,
            calibration=weights.calibration,
            quantization=weights.quantization(genotype) if quantized else None,
        )
        prepared = Prepared(
            candidate_id=candidate_id,
            folder=folder,
            quantized=quantized,
            quantized_tolerance=self._source.quantized_tolerance,
            onnx_sha256=sha256_of(files.onnx),
            validation=self._validated(files.onnx),
        )
        prepared.save()
        return prepared

    def _validated(self, onnx: Path) -> ValidationReading | None:
        validation = self._weights.validation
        if validation is None:
            return None
        return ValidationReading(
            accuracy=artifact_accuracy(load_onnx(onnx), validation.images, validation.labels),
            images=len(validation.labels),
            version=installed_version("val"),
        )
