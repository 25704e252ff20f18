"""A data set split and normalized for training and evaluation."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nas.data.dataset import ImageDataset, LabelArray
from nas.data.images import Images, subset
from nas.data.normalization import Normalization
from nas.data.normalized_images import NormalizedImages
from nas.data.split import validation_split
from nas.training.randomness import Purpose, generator
from nas.training.settings import TrainingSettings

RECALIBRATION_IMAGES = 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedData:
    """The parts of a data set that a training and its evaluations see; never its test images.

    ``train_images`` are uint8 NHWC, in memory or as files; the others are normalized a batch at a
    time. The recalibration images are a fixed draw from the training part, not augmented, in memory.
    """

    normalization: Normalization
    train_images: Images
    train_labels: LabelArray
    validation_images: NormalizedImages
    validation_labels: Tensor
    recalibration_images: NormalizedImages
    recalibration_labels: LabelArray


def prepare(
    dataset: ImageDataset, settings: TrainingSettings, normalization: Normalization | None = None
) -> PreparedData:
    """Splits by ``settings.split_seed`` and normalizes by the training part's statistics.

    Args:
        dataset: Its test images are not used.
        settings: Of the training.
        normalization: These statistics if they are known: saves a look at every image.

    Raises:
        DataError: if a class cannot be in both parts.
    """
    split = validation_split(
        dataset.y_train,
        groups=dataset.groups_train,
        fraction=settings.validation_fraction,
        seed=settings.split_seed,
        classes=dataset.classes,
    )
    images = subset(dataset.x_train, split.train)
    normalization = normalization or Normalization.of(images)
    count = min(RECALIBRATION_IMAGES, len(images))
    drawn = np.sort(generator(settings.split_seed, Purpose.RECALIBRATION).choice(len(images), count, replace=False))
    return PreparedData(
        normalization=normalization,
        train_images=images,
        train_labels=dataset.y_train[split.train],
        validation_images=NormalizedImages(
            images=subset(dataset.x_train, split.validation), normalization=normalization
        ),
        validation_labels=torch.from_numpy(dataset.y_train[split.validation]),
        recalibration_images=NormalizedImages(images=images[drawn], normalization=normalization),
        recalibration_labels=dataset.y_train[split.train][drawn],
    )
