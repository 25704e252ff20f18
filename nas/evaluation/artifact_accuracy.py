"""Accuracy of what ships: a loaded artifact fed one image at a time."""

import numpy as np
from numpy.typing import NDArray

from hw_profiles.runtimes.protocol import Executable


def artifact_accuracy(artifact: Executable, images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Fraction of images whose largest output is their label.

    Args:
        artifact: loaded by any runtime; takes (1, C, H, W).
        images: normalized, float32 (n, C, H, W), n at least 1.
        labels: int64 (n,).

    Raises:
        ArtifactError: where the artifact does not take the images.
    """
    correct = sum(
        int(artifact.run(images[row : row + 1])[0].argmax()) == int(label) for row, label in enumerate(labels)
    )
    return correct / len(labels)
