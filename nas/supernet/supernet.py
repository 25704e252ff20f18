"""The interface of a supernet of any family, for training and extraction."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from torch import Tensor, nn

from nas.networks.network import UnitNetwork
from search_spaces.space import IntArray, SearchSpace


class Supernet(nn.Module, ABC):
    """Every network of a space in one set of weights.

    One parameter per layer at its largest size; a sub-network uses the first channels
    of each and the first blocks of each stage, or whatever part its family chooses. Starts
    as the largest sub-network; :meth:`use` chooses another.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self._genotype = space.largest()

    @abstractmethod
    def forward_as(self, genotype: IntArray, images: Tensor, dropout: float = 0.0) -> Tensor:
        """Logits ``(n, classes)`` of one sub-network; threads may run several at once.

        Args:
            genotype: Canonical, shape ``(genes,)``; its policy is ignored.
            images: Normalized, float32 ``(n, c, h, w)`` in the data's own size.
            dropout: Share of features dropped before the classifier, in training only.
        """

    @abstractmethod
    def extract(self, genotype: IntArray) -> UnitNetwork:
        """The network of a genotype with the supernet's weights and statistics, in evaluation mode.

        Its outputs equal the supernet's under :meth:`use`. The supernet is only read; the
        network shares no memory with it.

        Raises:
            InvalidGenotypeError: if the genotype is not of the supernet's space.
        """

    def forward(self, images: Tensor, dropout: float = 0.0) -> Tensor:
        """As :meth:`forward_as` with the sub-network in use."""
        return self.forward_as(self._genotype, images, dropout)

    @contextmanager
    def use(self, genotype: IntArray) -> Iterator[Self]:
        """Runs as one sub-network inside the context; as before after it.

        Raises:
            InvalidGenotypeError: if the genotype is not of this space.
        """
        before = self._genotype
        self._genotype = self.space.canonical_row(self.space.validate(genotype[None])[0])
        try:
            yield self
        finally:
            self._genotype = before
