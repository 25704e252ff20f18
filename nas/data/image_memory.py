"""Memory limit for decoded images, beyond which they are streamed from disk."""

import math
import os
from pathlib import Path
from typing import Final

import psutil

from search_spaces.errors import UsageError

IMAGE_MEMORY_VARIABLE: Final = "HWNAS_IMAGE_MEMORY_MB"
SHARE_OF_MEMORY: Final = 0.25
"""A training holds its images twice, once split, and the machine has other work."""

_CONTROL_GROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")


def image_memory_bytes() -> int:
    """``HWNAS_IMAGE_MEMORY_MB`` (in 10^6 bytes), or a quarter of the memory that this machine or container has.

    Raises:
        UsageError: if the variable is not a number of at least 0.
    """
    given = os.environ.get(IMAGE_MEMORY_VARIABLE)
    if given is None:
        return int(SHARE_OF_MEMORY * _memory_bytes())
    try:
        megabytes = float(given)
    except ValueError:
        megabytes = math.nan
    if not (math.isfinite(megabytes) and megabytes >= 0):
        raise UsageError(f"{IMAGE_MEMORY_VARIABLE} is {given!r}; give megabytes, such as 4000, or 0 to stream always.")
    return int(megabytes * 1e6)


def _memory_bytes() -> int:
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(_CONTROL_GROUP_LIMIT.read_text()))
    except (OSError, ValueError):
        return total
