"""Keeps the C library from returning memory between operators.

Activations of a few MiB are allocated and freed thousands of times a second; glibc
returns the top of the heap to the system each time, and every page is faulted in
again: a tenth of a training step. Other C libraries are left as they are.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_TRIM_BYTES = 2**31 - 1
_TOP_PAD_BYTES = 64 * 2**20
_MMAP_BYTES = 32 * 2**20


def keep_freed_memory() -> None:
    """Raises glibc's thresholds for this process; does nothing elsewhere."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)
        mallopt(_M_TOP_PAD, _TOP_PAD_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
