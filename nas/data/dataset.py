"""One checked data set for image classification, held in memory."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import UsageError
from search_spaces.task import ImageTask

ImageArray = NDArray[np.uint8]
LabelArray = NDArray[np.int64]


class DataError(UsageError):
    """Images or labels that nothing can be trained on."""

    code: ClassVar[str] = "bad-data"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageDataset:
    """Training and test images with labels from 0 to K-1.

    Images are uint8 of shape ``(n, height, width, channels)``; labels are int64 of
    shape ``(n,)``. ``groups_train`` numbers the group of each training image (one
    patient, one recording): a group never straddles a split. ``fingerprint`` is the
    SHA-256 of everything a trained network depends on. Build one with
    :func:`nas.data.validation.checked_dataset`.
    """

    name: str
    x_train: ImageArray
    y_train: LabelArray
    x_test: ImageArray
    y_test: LabelArray
    classes: tuple[str, ...]
    groups_train: LabelArray | None = None
    skipped: tuple[str, ...] = ()
    """Damaged files that were left out, since that was asked for."""
    fingerprint: str

    @property
    def task(self) -> ImageTask:
        """The shape of the images and the number of classes."""
        _, height, width, channels = self.x_train.shape
        return ImageTask(channels=channels, height=height, width=width, classes=len(self.classes))


def fingerprint_of(arrays: dict[str, NDArray[np.generic]], classes: tuple[str, ...]) -> str:
    """SHA-256, hexadecimal, over names, shapes, dtypes and bytes of arrays in name order."""
    digest = hashlib.sha256("\0".join(classes).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.shape} {array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
