"""One checked data set for image classification."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import UsageError
from search_spaces.task import TaskSpec

if TYPE_CHECKING:
    from nas.data.images import Images

ImageArray = NDArray[np.uint8]
LabelArray = NDArray[np.int64]


class DataError(UsageError):
    """Images or labels that nothing can be trained on."""

    code: ClassVar[str] = "bad-data"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageDataset:
    """Training and test images with labels from 0 to K-1.

    Images are uint8 of shape ``(n, height, width, channels)``, in memory or as files; labels are int64 of
    shape ``(n,)``. ``groups_train`` numbers the group of each training image (one
    patient, one recording): a group never straddles a split. ``fingerprint`` is the
    SHA-256 of everything a trained network depends on. Build one with
    :func:`nas.data.validation.checked_dataset`.
    """

    name: str
    x_train: "Images"
    y_train: LabelArray
    x_test: "Images"
    y_test: LabelArray
    classes: tuple[str, ...]
    groups_train: LabelArray | None = None
    skipped: tuple[str, ...] = ()
    """Damaged files that were left out, since that was asked for."""
    fingerprint: str

    @property
    def task(self) -> TaskSpec:
        """The shape of the images and the number of classes."""
        _, height, width, channels = self.x_train.shape
        return TaskSpec.image_classification(channels=channels, height=height, width=width, classes=len(self.classes))
