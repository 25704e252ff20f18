"""Choices of the resolution gene: the sizes that a network resizes its images to."""

from collections.abc import Sequence

from search_spaces.fused_layers import Size
from search_spaces.task import ImageShape


def scaled_sizes(image: ImageShape, scales: Sequence[float], step_px: int) -> tuple[Size, ...]:
    """Distinct (height, width) of images times each scale, small to large.

    Scaled sides are rounded to multiples of ``step_px``; a scale of 1 keeps the images as they are.
    """

    def scaled(side: int, scale: float) -> int:
        return side if scale == 1.0 else max(step_px, round(side * scale / step_px) * step_px)

    return tuple(sorted({(scaled(image.height, scale), scaled(image.width, scale)) for scale in scales}))
