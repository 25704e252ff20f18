"""Accuracy of a loaded artifact, fed one image at a time."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from hw_profiles.runtimes.protocol import Executable
from nas.data.normalized_images import NormalizedImages

_BATCH: Final = 250


def artifact_accuracy(artifact: Executable, images: NormalizedImages, labels: NDArray[np.int64]) -> float:
    """Fraction of images whose largest output is their label.

    Args:
        artifact: loaded by any runtime; takes (1, C, H, W).
        images: n at least 1; a batch of them is held as float32 at a time.
        labels: int64 (n,).

    Raises:
        ArtifactError: if the artifact does not take the images.
    """
    found = [
        int(artifact.run(batch[row : row + 1])[0].argmax())
        for batch in images.batches(_BATCH)
        for row in range(len(batch))
    ]
    return int((np.array(found) == labels).sum()) / len(labels)
