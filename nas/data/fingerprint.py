"""The identity of a data set's content."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.data.decoding import image_chunks
from nas.data.images import ImageFiles


def fingerprint_of(arrays: Mapping[str, NDArray[np.generic] | ImageFiles], classes: Sequence[str]) -> str:
    """SHA-256, hexadecimal, over names, shapes, dtypes and bytes of arrays in name order.

    Image files count as the array that they decode to.
    """
    digest = hashlib.sha256("\0".join(classes).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.shape} {array.dtype.str}".encode())
        if isinstance(array, ImageFiles):
            for chunk in image_chunks(array):
                digest.update(chunk.data)
        else:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
