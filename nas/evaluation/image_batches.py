"""Batches of images for a network, from tensors or normalized on access."""

from collections.abc import Iterator
from typing import TypeAlias

import torch
from torch import Tensor, nn

from nas.data.normalized_images import NormalizedImages

EvaluationImages: TypeAlias = Tensor | NormalizedImages
"""Normalized float32 ``(n, c, h, w)``, or images that become so a batch at a time."""


def batches(images: EvaluationImages, batch_size: int) -> Iterator[Tensor]:
    """All in order, ``batch_size`` at a time; the last batch may be smaller."""
    if isinstance(images, Tensor):
        yield from torch.split(images, batch_size)
    else:
        yield from map(torch.from_numpy, images.batches(batch_size))


def even_batches(images: EvaluationImages, most: int) -> Iterator[Tensor]:
    """All in order, in as few batches of ``most`` at most as possible, whose sizes differ by one at most."""
    count = -(-len(images) // most)
    size, larger = divmod(len(images), count)
    start = 0
    for index in range(count):
        rows = slice(start, start + size + (index < larger))
        start = rows.stop
        yield images[rows] if isinstance(images, Tensor) else torch.from_numpy(images[rows])


def device_of(network: nn.Module) -> torch.device:
    """Where a network's parameters are; the processor if it has none."""
    parameter = next(network.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
