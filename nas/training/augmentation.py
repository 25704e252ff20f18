"""Augmentation for small images: random crops with reflected padding, flips, cut-out."""

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import ImageArray


def augment(
    images: ImageArray, rng: np.random.Generator, *, shift_px: int, flip: bool, cutout_px: int = 0
) -> ImageArray:
    """Crops, flips and cuts each image independently; shape and dtype ``(n, h, w, c)`` stay.

    Args:
        images: uint8 ``(n, h, w, c)``; not changed.
        rng: Equal states give equal images.
        shift_px: Padding on each side, reflected at the border, that a random crop is taken from.
        flip: Mirror half of the images, left to right.
        cutout_px: Side of a square at a random place that takes each image's mean color; its centre lies
            in the image, so part of it may lie outside (DeVries and Taylor, 2017). 0 for none.
    """
    count, height, width, _ = images.shape
    shifts = rng.integers(-shift_px, shift_px + 1, size=(2, count))
    rows, columns = _shifted(height, shifts[0]), _shifted(width, shifts[1])
    if flip:
        mirrored = rng.random((count, 1)) < 0.5
        columns = np.where(mirrored, columns[:, ::-1], columns)
    out: ImageArray = images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return _cut_out(out, rng, cutout_px) if cutout_px else out


def _cut_out(images: ImageArray, rng: np.random.Generator, side: int) -> ImageArray:
    count, height, width, channels = images.shape
    centres = rng.integers(0, [[height], [width]], size=(2, count))
    rows, columns = _inside(centres[0], height, side), _inside(centres[1], width, side)
    square = (rows[:, :, None] & columns[:, None, :])[..., None]
    mean = images.reshape(count, -1, channels).mean(axis=1).round().astype(np.uint8)
    cut: ImageArray = np.where(square, mean[:, None, None, :], images)
    return cut


def _inside(centres: NDArray[np.int64], length: int, side: int) -> NDArray[np.bool_]:
    """Which positions ``(n, length)`` lie in a stretch of ``side`` around each centre."""
    first = centres[:, None] - side // 2
    positions = np.arange(length)[None]
    return (positions >= first) & (positions < first + side)


def _shifted(side: int, shifts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Source positions ``(n, side)``, reflected at the borders as ``2 1 0 1 2 … 2 1``."""
    period = max(1, 2 * (side - 1))
    positions = (np.arange(side)[None] + shifts[:, None]) % period
    reflected: NDArray[np.int64] = np.minimum(positions, period - positions)
    return np.minimum(reflected, side - 1)
