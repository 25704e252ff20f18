"""Weights from a supernet: networks extracted from it, with recalibrated batch norm."""

# ruff: noqa: PLC0415 - torch is for processes that prepare candidates; the one that owns the pool does not need it

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from nas.measuring.deployed_files import FloatImages
from nas.measuring.weight_source import ValidationImages
from search_spaces.errors import NasError
from search_spaces.registry import get_space
from search_spaces.space import IntArray, SearchSpace
from search_spaces.task import TaskSpec

if TYPE_CHECKING:
    from nas.networks.network import UnitNetwork
    from nas.supernet.supernet import Supernet
    from nas.training.prepared_data import PreparedData

_REFERENCE_IMAGES: Final = 8
_QUANTIZED_TOLERANCE: Final = 0.1


class ChangedDataError(NasError):
    """Data that is not what a supernet was trained on."""

    code: ClassVar[str] = "changed-data"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparationSettings:
    """Settings of preparation."""

    calibration_images: int = 128
    """Images that activation ranges are taken from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupernetWeightSource:
    """A stored supernet and the data that it was trained on."""

    supernet_id: str
    space_name: str
    task: TaskSpec
    folder: Path
    """Of the supernet."""
    data: str
    """As given to ``--data``."""
    cache: Path
    settings: PreparationSettings

    @property
    def space(self) -> SearchSpace:
        """See :class:`nas.measuring.weight_source.WeightSource`."""
        return get_space(self.space_name, self.task)

    @property
    def key(self) -> str:
        """The supernet's."""
        return self.supernet_id[:16]

    @property
    def quantized_tolerance(self) -> float:
        """A value on a rounding boundary may flip, and the flip travels on."""
        return _QUANTIZED_TOLERANCE

    def load(self) -> "SupernetWeights":
        """Loads supernet and images.

        Raises:
            NasError: if the supernet or its data cannot be loaded, or the data changed.
        """
        from nas.data.sources import load_dataset
        from nas.training.prepared_data import prepare
        from nas.training.record import load_supernet

        supernet, record = load_supernet(self.folder)
        dataset = load_dataset(self.data)
        if dataset.fingerprint != record.data_fingerprint:
            raise ChangedDataError(
                f"the data set {self.data} has changed since the supernet was trained on it;"
                " restore it, or train again."
            )
        return SupernetWeights(supernet, prepare(dataset, record.settings, record.normalization), self.settings)


class SupernetWeights:
    """See :class:`nas.measuring.weight_source.Weights`. All but the validation images are training images."""

    def __init__(self, supernet: "Supernet", data: "PreparedData", settings: PreparationSettings) -> None:
        self._supernet = supernet
        self._recalibration = data.recalibration_images
        self.reference: FloatImages = self._recalibration[-_REFERENCE_IMAGES:]
        self.calibration: FloatImages = self._recalibration[: settings.calibration_images]
        self.calibration_labels: NDArray[np.int64] = data.recalibration_labels[: settings.calibration_images]
        self._validation = ValidationImages(images=data.validation_images, labels=data.validation_labels.numpy())

    @property
    def validation(self) -> ValidationImages:
        """The supernet's own validation split: the same images for every candidate."""
        return self._validation

    def network(self, genotype: IntArray) -> "UnitNetwork":
        """The network cut out of the supernet, batch norm recalibrated."""
        from nas.evaluation.batch_norm import recalibrate_batch_norm

        network = self._supernet.extract(genotype)
        recalibrate_batch_norm(network, self._recalibration)
        return network.eval()

    def save(self, network: "UnitNetwork", path: Path) -> None:
        """Writes a safetensors file."""
        from nas.networks.weight_files import save_network

        save_network(network, path)

    def quantization(self, genotype: IntArray) -> None:
        """None: a supernet is trained in float."""

    def float_accuracy(self, genotype: IntArray) -> tuple[float, int]:
        """See :class:`nas.measuring.weight_source.Weights`; nothing is exported."""
        import torch

        from nas.evaluation.accuracy import evaluate_subnet

        _, accuracy = evaluate_subnet(
            self._supernet,
            genotype,
            recalibration_images=self._recalibration,
            images=self._validation.images,
            labels=torch.from_numpy(self._validation.labels),
        )
        return accuracy, len(self._validation.labels)
