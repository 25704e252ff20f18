"""The interface of a family: search spaces, their supernet, and the static networks extracted from it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from search_spaces.space import IntArray, SearchSpace, SpaceFactory

if TYPE_CHECKING:
    from nas.networks.network import UnitNetwork
    from nas.supernet.supernet import Supernet


class Family(ABC):
    """Spaces whose networks share weights, and how those networks are built.

    A family of another package derives from this class and is named under the entry point
    group ``hwnas.families``. Its module and its spaces do not import torch; the methods
    below do. All else (training, finishing, quantization, search, export) asks here.
    ``tests/nas/families/test_contract.py`` states what is required.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Its entry point's name."""

    @property
    @abstractmethod
    def spaces(self) -> Mapping[str, SpaceFactory]:
        """Its spaces by name: ``FAMILY`` or ``FAMILY:VARIANT``.

        Each takes the tasks that it fits, and refuses others with an ``UnsupportedTaskError`` of one sentence
        (:meth:`search_spaces.task.TaskSpec.image_for`).
        """

    @abstractmethod
    def supernet(self, space: SearchSpace, *, seed: int = 0) -> "Supernet":
        """An untrained supernet; its weights depend on the space and ``seed`` alone."""

    @abstractmethod
    def network(self, space: SearchSpace, genotype: IntArray) -> "UnitNetwork":
        """The plain torch network of a genotype, with weights from torch's global generator.

        Raises:
            InvalidGenotypeError: if the genotype ``(genes,)`` is not of the space.
        """

    def training_genotype(self, space: SearchSpace, rng: np.random.Generator) -> IntArray:
        """A canonical genotype ``(genes,)`` for a training step, beside the smallest and the largest."""
        genotype: IntArray = space.sample_spread(1, rng)[0]
        return genotype
