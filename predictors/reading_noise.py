"""The noise of an accuracy reading: ``k`` of ``n`` images classified correctly.

A reading is binomial around the true accuracy. Networks that are read on the same images share
part of that noise, since an image that is hard for one network is hard for its like: they are all
too high together, or too low. What they share cannot be seen in the differences between them,
and only what is each network's own makes the best-looking one look better than it is.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from predictors.errors import UnfitDataError
from search_spaces.space import IntArray

FloatArray = NDArray[np.float64]

SHARED_SHARE: Final = 0.73
"""Share of the variance that sub-networks of one supernet have in common on the same images.

It is the correlation of two networks' right and wrong answers: 0.73 on average (0.60 to 0.87) for
twelve sub-networks of all sizes of the quickstart's supernet, on 2,400 validation images as on the
3,000 test images of Fashion-MNIST. Networks that are trained on their own agree less: 0.56 on
average for eight small ones.
"""


def binomial_variance(accuracy: FloatArray, images: FloatArray | IntArray) -> FloatArray:
    """Variance of readings (fractions) on so many images, shape ``(n,)``; above zero at 0 and at 1 too."""
    counts = np.asarray(images, dtype=np.float64)
    # The middle of a Jeffreys posterior: no image wrong of twenty does not mean none ever.
    smoothed = (np.asarray(accuracy) * counts + 0.5) / (counts + 1.0)
    return np.asarray(smoothed * (1.0 - smoothed) / counts)


def interval_90(accuracy: float, images: int) -> tuple[float, float]:
    """The true accuracies that a reading (a fraction of so many images) leaves likely: Jeffreys' interval.

    Covers what another draw of images would change, not how the network was chosen or trained.

    Raises:
        UnfitDataError: if the reading is not a fraction, or there are no images.
    """
    if not 0 <= accuracy <= 1 or images < 1:
        raise UnfitDataError(f"a reading of {accuracy} on {images} images; give a fraction and at least 1 image.")
    right = accuracy * images
    low, high = stats.beta.ppf((0.05, 0.95), right + 0.5, images - right + 0.5)
    # At the ends of the scale one side has no doubt.
    return 0.0 if right == 0 else float(low), 1.0 if right == images else float(high)


def checked_images(images: IntArray, count: int) -> IntArray:
    """Numbers of images, one per sample.

    Raises:
        UnfitDataError: for another shape, or a number below 1.
    """
    images = np.asarray(images)
    if images.shape != (count,):
        raise UnfitDataError(f"{count} accuracies came with numbers of images of shape {images.shape}; give one each.")
    if (images < 1).any():
        row = int(np.argmin(images))
        raise UnfitDataError(f"sample {row + 1} was read on {images[row]} images; at least 1 is needed.")
    return images
