"""Masked one-hot encoding of whole populations.

One column per choice of every gene with more than one choice. The columns of inactive
genes are zero, so that equal networks have equal encodings.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from search_spaces.space import IntArray, SearchSpace

Float32Array = NDArray[np.float32]


class Encoding:
    """The masked one-hot encoding of one space."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._genes = np.flatnonzero(space.cardinalities > 1)
        sizes = space.cardinalities[self._genes]
        self._offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self.names: Final = tuple(
            f"{space.genes[gene].name}={choice}"
            for gene in self._genes.tolist()
            for choice in space.genes[gene].choices
        )

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.names)

    def of(self, genotypes: IntArray) -> Float32Array:
        """Zeros and ones of canonical genotypes, shape ``(n, width)``."""
        active = self.space.active(genotypes)[:, self._genes]
        columns = genotypes[:, self._genes] + self._offsets
        out = np.zeros((len(genotypes), self.width), dtype=np.float32)
        out[np.arange(len(genotypes))[:, None], columns] = active
        return out
