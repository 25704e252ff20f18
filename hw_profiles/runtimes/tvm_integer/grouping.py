"""Grouped convolutions as fewer, wider groups: kernels read four channels at once and write whole vectors."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw_profiles.runtimes.tvm_integer.shapes import CHANNEL_MULTIPLE

_WORD = 4
"""Input channels that a kernel reads at once."""


def merged_count(groups: int, inputs: int, outputs: int) -> int:
    """How many neighbouring groups become one: the fewest that are whole words and vectors, else all.

    Args:
        groups: of the convolution.
        inputs: channels per group.
        outputs: channels per group.
    """
    counts = (count for count in range(1, groups) if groups % count == 0)
    whole = (count for count in counts if count * inputs % _WORD == 0 and count * outputs % CHANNEL_MULTIPLE == 0)
    return next(whole, groups)


def merge_groups(weights: NDArray[Any], groups: int) -> tuple[NDArray[Any], int]:
    """Weights of fewer groups, with zeros between those that were merged; and how many groups there are then.

    Args:
        weights: (outputs, inputs per group, height, width).
        groups: a divisor of the outputs.

    Returns:
        Weights (outputs, inputs per merged group, height, width), and the number of merged groups.
    """
    outputs, inputs, high, wide = weights.shape
    count = merged_count(groups, inputs, outputs // groups)
    blocks = weights.reshape(groups // count, count, outputs // groups, inputs, high, wide)
    merged = np.zeros((groups // count, count, outputs // groups, count, inputs, high, wide), weights.dtype)
    for number in range(count):
        merged[:, number, :, number] = blocks[:, number]
    return merged.reshape(outputs, count * inputs, high, wide), groups // count
