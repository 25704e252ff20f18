"""Sizes of integer tensors, with their channels padded, and of windows over them."""

from dataclasses import dataclass
from typing import Final

CHANNEL_MULTIPLE: Final = 16
"""Integer tensors hold their channels padded to a multiple of this, so that vectors need no remainder."""


def padded(channels: int) -> int:
    """Channels that an integer tensor of so many channels holds in memory."""
    return -(-channels // CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationShape:
    """Sizes of a tensor of one image; a vector has one pixel."""

    height: int
    width: int
    channels: int

    @property
    def pixels(self) -> int:
        """Height times width."""
        return self.height * self.width

    @property
    def held(self) -> int:
        """Bytes in memory, channels padded."""
        return self.pixels * padded(self.channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Windows over an image whose padding is part of it."""

    image: ActivationShape
    kernel: tuple[int, int]
    stride: tuple[int, int]

    @property
    def out_size(self) -> tuple[int, int]:
        """Height and width of the output."""
        height = (self.image.height - self.kernel[0]) // self.stride[0] + 1
        return height, (self.image.width - self.kernel[1]) // self.stride[1] + 1

    @property
    def taps(self) -> list[int]:
        """Pixels of a window, counted from its first one."""
        return [down * self.image.width + right for down in range(self.kernel[0]) for right in range(self.kernel[1])]
