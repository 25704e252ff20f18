"""Light augmentation for small images: random shifts with mirrored borders, and flips."""

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import ImageArray


def augment(images: ImageArray, rng: np.random.Generator, *, shift_px: int, flip: bool) -> ImageArray:
    """Shifts and flips each image by itself; shape and dtype ``(n, h, w, c)`` stay.

    Pixels that a shift brings in mirror those at the border.
    """
    count, height, width, _ = images.shape
    shifts = rng.integers(-shift_px, shift_px + 1, size=(2, count))
    rows, columns = _shifted(height, shifts[0]), _shifted(width, shifts[1])
    if flip:
        mirrored = rng.random((count, 1)) < 0.5
        columns = np.where(mirrored, columns[:, ::-1], columns)
    out: ImageArray = images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return out


def _shifted(side: int, shifts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Source positions ``(n, side)``, reflected at the borders as ``2 1 0 1 2 … 2 1``."""
    period = max(1, 2 * (side - 1))
    positions = (np.arange(side)[None] + shifts[:, None]) % period
    reflected: NDArray[np.int64] = np.minimum(positions, period - positions)
    return np.minimum(reflected, side - 1)
