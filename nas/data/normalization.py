"""Normalization of pixels to network inputs: ``(pixels * scale - mean) / std``, per channel."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import ImageArray
from nas.data.decoding import image_chunks
from nas.data.images import Images

FloatImages = NDArray[np.float32]
_LEAST_STD = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalization:
    """Scale for all channels, mean and standard deviation of each scaled channel."""

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, images: Images) -> "Normalization":
        """Statistics of training images, shape ``(n, h, w, c)``; a constant channel keeps a small std."""
        channels = images.shape[3]
        histogram = np.zeros((channels, 256), dtype=np.int64)
        for part in image_chunks(images):
            for channel in range(channels):
                histogram[channel] += np.bincount(part[..., channel].reshape(-1), minlength=256)
        levels = np.arange(256) / 255
        weights = histogram / histogram.sum(axis=1, keepdims=True)
        mean = weights @ levels
        std = np.sqrt(np.maximum(weights @ levels**2 - mean**2, 0.0))
        return cls(
            scale=1 / 255,
            mean=tuple(float(v) for v in mean),
            std=tuple(max(_LEAST_STD, float(v)) for v in std),
        )

    def apply(self, images: ImageArray) -> FloatImages:
        """Network inputs, float32 of shape ``(n, c, h, w)``, contiguous."""
        gain = (self.scale / np.array(self.std)).astype(np.float32)
        offset = (np.array(self.mean) / np.array(self.std)).astype(np.float32)
        scaled = images.astype(np.float32) * gain - offset
        return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))

    def as_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return {"scale": self.scale, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Normalization":
        """The inverse of :meth:`as_json`."""
        return cls(scale=float(fields["scale"]), mean=tuple(fields["mean"]), std=tuple(fields["std"]))
