"""Random numbers from (seed, purpose, step, index): stateless, so that resuming is exact."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What random numbers are for; each purpose has its own stream."""

    ORDER = 0
    AUGMENTATION = 1
    SUBNET = 2
    DROPOUT = 3
    RECALIBRATION = 4


def generator(seed: int, purpose: Purpose, *position: int) -> np.random.Generator:
    """The generator of one purpose at one position."""
    return np.random.default_rng([seed, int(purpose), *position])
