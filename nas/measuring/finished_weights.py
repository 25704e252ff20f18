"""Weights of finished networks, each fine-tuned from inherited weights.

Imports torch: whoever asks for these weights has trained them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from nas.evaluation.accuracy import accuracy
from nas.measuring.supernet_weights import SupernetWeights, SupernetWeightSource
from nas.networks.building import with_genotype
from nas.networks.network import UnitNetwork
from nas.networks.weight_files import load_network
from nas.quantization.trained_quantization import SCALES_FILE, TrainedQuantization
from search_spaces.errors import NasError
from search_spaces.space import IntArray, SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedWeightSource:
    """Finished networks by architecture, beside the supernet and the data that they come from."""

    supernet: SupernetWeightSource
    recipe: str
    """How they were finished, as text: networks finished otherwise are prepared elsewhere."""
    files: Mapping[str, Path]
    """Weight files by the genes, as text, of the unquantized network."""
    quantized: Mapping[str, Path]
    """Weight files by the genes, as text, of networks that were trained under their policy; their scales lie beside."""

    @property
    def space(self) -> SearchSpace:
        """See :class:`nas.measuring.weight_source.WeightSource`."""
        return self.supernet.space

    @property
    def key(self) -> str:
        """The supernet's and the recipe's."""
        return f"{self.supernet.key}-{hashlib.sha256(self.recipe.encode()).hexdigest()[:8]}"

    @property
    def cache(self) -> Path:
        """Beside the supernet's own."""
        return self.supernet.cache.parent / self.key

    @property
    def supernet_id(self) -> str:
        """The supernet that they were finished from."""
        return self.supernet.supernet_id

    @property
    def quantized_tolerance(self) -> float:
        """As for inherited weights."""
        return self.supernet.quantized_tolerance

    def load(self) -> "FinishedWeights":
        """Loads supernet and images; errors as :meth:`SupernetWeightSource.load`."""
        return FinishedWeights(self.supernet.load(), self)


class FinishedWeights:
    """See :class:`nas.measuring.weight_source.Weights`; all images are the supernet's."""

    def __init__(self, supernet: SupernetWeights, source: FinishedWeightSource) -> None:
        self._space = source.space
        self._files, self._quantized = source.files, source.quantized
        self.reference = supernet.reference
        self.calibration = supernet.calibration
        self.calibration_labels = supernet.calibration_labels
        self.validation = supernet.validation
        self.save = supernet.save

    def network(self, genotype: IntArray) -> UnitNetwork:
        """The network that was finished under the genotype's policy, or else that of its architecture.

        Raises:
            NasError: if neither was finished, or its file is gone.
        """
        if trained := self._quantized.get(self._space.to_string(genotype)):
            return load_network(self._space, trained)
        architecture = self._space.to_string(self._space.unquantized(genotype[None])[0])
        if architecture not in self._files:
            raise NasError("the network was not finished.")
        return with_genotype(load_network(self._space, self._files[architecture]), genotype)

    def quantization(self, genotype: IntArray) -> TrainedQuantization | None:
        """See :class:`nas.measuring.weight_source.Weights`; lies beside the weights."""
        trained = self._quantized.get(self._space.to_string(genotype))
        return None if trained is None else TrainedQuantization.load(trained.with_name(SCALES_FILE))

    def float_accuracy(self, genotype: IntArray) -> tuple[float, int]:
        """Of the finished float network."""
        images, labels = self.validation.images, self.validation.labels
        found = accuracy(self.network(genotype).fold_batch_norm(), images, torch.from_numpy(labels))
        return found, len(labels)
