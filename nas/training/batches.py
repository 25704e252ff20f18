"""The augmented images of each training step, drawn from (seed, epoch, step)."""

import torch
from torch import Tensor

from nas.training.augmentation import augment
from nas.training.prepared_data import PreparedData
from nas.training.randomness import Purpose, generator
from nas.training.settings import TrainingSettings


class TrainingBatches:
    """A data set's training part in shuffled epochs; the last, smaller batch of an epoch is dropped."""

    def __init__(self, data: PreparedData, settings: TrainingSettings) -> None:
        self._data, self._settings = data, settings
        self.batch_size = min(settings.batch_size, len(data.train_images))
        self.steps_per_epoch = len(data.train_images) // self.batch_size

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Normalized float32 images ``(n, c, h, w)`` and int64 labels ``(n,)`` of a step, counted from 0."""
        settings, data = self._settings, self._data
        epoch, position = divmod(step, self.steps_per_epoch)
        order = generator(settings.seed, Purpose.ORDER, epoch).permutation(len(data.train_images))
        chosen = order[position * self.batch_size : (position + 1) * self.batch_size]
        images = augment(
            data.train_images[chosen],
            generator(settings.seed, Purpose.AUGMENTATION, step),
            shift_px=settings.shift_px,
            flip=settings.flip,
            cutout_px=settings.cutout_px,
        )
        return torch.from_numpy(data.normalization.apply(images)), torch.from_numpy(data.train_labels[chosen])
