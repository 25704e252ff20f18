"""Data sets of the Hugging Face hub, with the extra ``hwnas[huggingface]``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import DataError, ImageDataset
from nas.data.imagefolder import most_common_size
from nas.data.images import stack_images
from nas.data.validation import checked_dataset

_GRAY_MODES = frozenset({"1", "L", "LA"})


def load_huggingface(name: str) -> ImageDataset:
    """An image classification data set by its hub name or the path of a local one.

    Takes the splits ``train`` and ``test`` (or ``validation``), the first image column
    and the first class-label column; images are resized to the most common size.

    Raises:
        DataError: if the extra is missing, nothing has this name, or it holds no
            images with class labels.
    """
    try:
        import datasets  # noqa: PLC0415 - an extra that few users install
    except ImportError as error:
        raise DataError(
            f"hf:{name} needs the package datasets, which is not installed; install hwnas[huggingface]."
        ) from error
    try:
        parts = datasets.load_dataset(name)
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"hf:{name} cannot be loaded ({error}); check the name and the connection.") from error
    test_name = next((part for part in ("test", "validation") if part in parts), None)
    if "train" not in parts or test_name is None:
        raise DataError(f"hf:{name} has the splits {', '.join(parts)}; train and test or validation are needed.")
    features = parts["train"].features
    image_column = _column(name, features, datasets.Image, "image")
    label_column = _column(name, features, datasets.ClassLabel, "class label")
    train, test = parts["train"], parts[test_name]
    train_images, test_images = train[image_column], test[image_column]
    size = most_common_size((image.height, image.width) for image in train_images)
    gray = all(image.mode in _GRAY_MODES for part in (train_images, test_images) for image in part)
    arrays: dict[str, NDArray[np.generic]] = {
        "x_train": stack_images(train_images, size=size, gray=gray),
        "y_train": np.array(train[label_column], dtype=np.int64),
        "x_test": stack_images(test_images, size=size, gray=gray),
        "y_test": np.array(test[label_column], dtype=np.int64),
    }
    return checked_dataset(f"hf:{name}", arrays, features[label_column].names)


def _column(name: str, features: dict[str, Any], kind: type, words: str) -> str:
    for column, feature in features.items():
        if isinstance(feature, kind):
            return column
    raise DataError(f"hf:{name} has no {words} column among {', '.join(features)}; choose an image classification set.")
