"""Seeded random weights, for measuring latency before training.

Latency depends on shapes and precisions, not on weights, as long as activations keep
a usual size: values that die out become denormal numbers, which processors handle
slowly. So batch norm is set from random images before it is folded.
"""

# ruff: noqa: PLC0415 - torch is for processes that prepare candidates; the one that owns the pool does not need it

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from nas.measuring.deployed_files import FloatImages
from nas.measuring.weight_source import ValidationImages
from search_spaces.errors import NasError
from search_spaces.registry import get_space
from search_spaces.space import IntArray, SearchSpace
from search_spaces.task import TaskSpec

if TYPE_CHECKING:
    from nas.networks.network import UnitNetwork

_REFERENCE_IMAGES: Final = 4
_RANGE_IMAGES: Final = 8
_NORM_IMAGES: Final = 16
_QUANTIZED_TOLERANCE: Final = 0.3
"""An untrained network's outputs are nearly the same for every image, so rounding weighs more in them."""
_SEED: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomWeightSource:
    """Random weights of every network of a space; the same ones on every run."""

    space_name: str
    task: TaskSpec
    cache: Path

    @classmethod
    def from_space(cls, space: SearchSpace, folder: Path) -> "RandomWeightSource":
        """Of a space; each task of it has its own place in ``folder``."""
        task = space.task.dimensions
        cache = folder / space.name.replace(":", "-") / task
        return cls(space_name=space.name, task=space.task, cache=cache)

    @property
    def space(self) -> SearchSpace:
        """See :class:`nas.measuring.weight_source.WeightSource`."""
        return get_space(self.space_name, self.task)

    @property
    def key(self) -> str:
        """The same for all spaces; artifacts of random weights never ship."""
        return "random"

    @property
    def supernet_id(self) -> None:
        """None: no supernet's."""
        return

    @property
    def quantized_tolerance(self) -> float:
        """Wider than for trained weights."""
        return _QUANTIZED_TOLERANCE

    def load(self) -> "RandomWeights":
        """See :class:`nas.measuring.weight_source.WeightSource`."""
        return RandomWeights(self.space)


class RandomWeights:
    """See :class:`nas.measuring.weight_source.Weights`."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        rng = np.random.default_rng(_SEED)

        def images(count: int) -> FloatImages:
            return rng.standard_normal((count, *space.task.input.shape), dtype=np.float32)

        self._norm_images = images(_NORM_IMAGES)
        self.reference = images(_REFERENCE_IMAGES)
        self.calibration = images(_RANGE_IMAGES)
        self.calibration_labels = None

    @property
    def validation(self) -> ValidationImages | None:
        """None: random weights recognize nothing."""
        return None

    def network(self, genotype: IntArray) -> "UnitNetwork":
        """The network, its batch norm set from random images."""
        # torch takes seconds to import; the process that owns the pool does without.
        import torch

        from nas.evaluation.batch_norm import recalibrate_batch_norm
        from nas.networks.building import build_network

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            network = build_network(self._space, genotype)
        recalibrate_batch_norm(network, torch.from_numpy(self._norm_images))
        return network

    def save(self, network: "UnitNetwork", path: Path) -> None:
        """Nothing: the seed gives them again."""

    def quantization(self, genotype: IntArray) -> None:
        """None: nothing was trained."""

    def float_accuracy(self, genotype: IntArray) -> tuple[float, int]:
        """Always an error: there is no accuracy to count."""
        raise NasError(f"network {self._space.to_string(genotype)} has random weights and therefore no accuracy.")
