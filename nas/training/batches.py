"""The augmented images of each training step, drawn from (seed, epoch, step)."""

from functools import lru_cache

import torch
from torch import Tensor

from nas.data.decoding import DecodedAhead
from nas.data.images import ImageFiles, RowArray
from nas.training.augmentation import augment
from nas.training.prepared_data import PreparedData
from nas.training.randomness import Purpose, generator
from nas.training.settings import TrainingSettings


class TrainingBatches:
    """A data set's training part in shuffled epochs; the last, smaller batch of an epoch is dropped.

    Images that are files are decoded in worker processes, some steps ahead. Batches do not depend on that.
    """

    def __init__(self, data: PreparedData, settings: TrainingSettings) -> None:
        self._data, self._settings = data, settings
        self.batch_size = min(settings.batch_size, len(data.train_images))
        self.steps_per_epoch = len(data.train_images) // self.batch_size
        self._epoch_order = lru_cache(maxsize=2)(self._drawn_order)
        files = data.train_images
        self._ahead = (
            DecodedAhead(lambda step: files.subset(self._rows(step))) if isinstance(files, ImageFiles) else None
        )

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Normalized float32 images ``(n, c, h, w)`` and int64 labels ``(n,)`` of a step, counted from 0.

        Raises:
            DataError: names an image file that cannot be read.
        """
        settings, data = self._settings, self._data
        rows = self._rows(step)
        images = augment(
            data.train_images[rows] if self._ahead is None else self._ahead.at(step),
            generator(settings.seed, Purpose.AUGMENTATION, step),
            shift_px=settings.shift_px,
            flip=settings.flip,
            cutout_px=settings.cutout_px,
        )
        return torch.from_numpy(data.normalization.apply(images)), torch.from_numpy(data.train_labels[rows])

    def _rows(self, step: int) -> RowArray:
        epoch, position = divmod(step, self.steps_per_epoch)
        return self._epoch_order(epoch)[position * self.batch_size : (position + 1) * self.batch_size]

    def _drawn_order(self, epoch: int) -> RowArray:
        order: RowArray = generator(self._settings.seed, Purpose.ORDER, epoch).permutation(len(self._data.train_labels))
        return order
