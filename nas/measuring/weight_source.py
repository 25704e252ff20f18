"""The interface of weight sources, which parametrizes the preparation of networks."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from nas.data.normalized_images import NormalizedImages
from nas.measuring.deployed_files import FloatImages
from search_spaces.space import IntArray, SearchSpace

if TYPE_CHECKING:
    from nas.networks.network import UnitNetwork
    from nas.quantization.trained_quantization import TrainedQuantization


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ValidationImages:
    """Images (n, C, H, W), normalized a batch at a time, and their labels, int64 (n,)."""

    images: NormalizedImages
    labels: NDArray[np.int64]


class Weights(Protocol):
    """Loaded weights of every network of a space. Not thread-safe: one process, one of these."""

    @property
    def reference(self) -> FloatImages:
        """Images (k, C, H, W) whose outputs every compiled form must reproduce."""
        ...

    @property
    def calibration(self) -> FloatImages:
        """Images that activation ranges are taken from."""
        ...

    @property
    def calibration_labels(self) -> NDArray[np.int64] | None:
        """Their labels; None if the weights mean nothing."""
        ...

    @property
    def validation(self) -> ValidationImages | None:
        """What accuracy is counted on; None if the weights mean nothing."""
        ...

    def network(self, genotype: IntArray) -> "UnitNetwork":
        """The network of a canonical genotype ``(genes,)`` in evaluation mode, its batch norm set.

        Raises:
            NasError: if it cannot be built.
        """
        ...

    def save(self, network: "UnitNetwork", path: Path) -> None:
        """Writes the network's weights, if they are worth keeping."""
        ...

    def quantization(self, genotype: IntArray) -> "TrainedQuantization | None":
        """The scales that the network was trained with; None if its ranges are calibrated.

        Raises:
            NasError: if they cannot be read.
        """
        ...

    def float_accuracy(self, genotype: IntArray) -> tuple[float, int]:
        """Fraction of the validation images that the float network gets right, and their number.

        Raises:
            NasError: if the weights mean nothing.
        """
        ...


class WeightSource(Protocol):
    """Names weights without loading them; picklable, so that each process loads its own."""

    @property
    def space(self) -> SearchSpace:
        """The space whose networks it has weights for, bound to its task."""
        ...

    @property
    def key(self) -> str:
        """Names the weights in paths: what is compiled from other weights lies elsewhere."""
        ...

    @property
    def cache(self) -> Path:
        """Where prepared networks lie."""
        ...

    @property
    def supernet_id(self) -> str | None:
        """The supernet whose weights these are; None for random ones, whose artifacts never ship."""
        ...

    @property
    def quantized_tolerance(self) -> float:
        """Error allowed to an integer network, as a fraction of the largest reference output."""
        ...

    def load(self) -> Weights:
        """Loads the weights and images; imports torch.

        Raises:
            NasError: if something is missing or damaged.
        """
        ...
