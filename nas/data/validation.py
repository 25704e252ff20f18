"""Validation of arrays as a data set, with one-sentence errors."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import DataError, ImageDataset, LabelArray
from nas.data.decoding import image_chunks
from nas.data.fingerprint import fingerprint_of
from nas.data.images import ImageFiles, Images

AnyArray = NDArray[np.generic]
REQUIRED_KEYS = ("x_train", "y_train", "x_test", "y_test")
_CHANNEL_COUNTS = (1, 3, 4)


def checked_dataset(
    name: str,
    arrays: Mapping[str, AnyArray | ImageFiles],
    class_names: Sequence[str] | None = None,
    *,
    skipped: Sequence[str] = (),
    fingerprint: str | None = None,
) -> ImageDataset:
    """A data set from ``x_train, y_train, x_test, y_test`` and optionally ``groups_train``.

    Images are uint8, NHWC or NHW; labels integers from 0 to K-1. Without class names
    the classes are called by their numbers. ``skipped`` names files that were left out.
    A ``fingerprint`` that is given is that of this very content, whose pixels were checked when it was computed.

    Raises:
        DataError: one sentence that names the array, what it holds and what is allowed.
    """
    missing = [key for key in REQUIRED_KEYS if key not in arrays]
    if missing:
        raise DataError(
            f"{name}: {', '.join(missing)} missing; found {', '.join(sorted(arrays)) or 'nothing'}."
            f" Save the arrays {', '.join(REQUIRED_KEYS)} (and optionally groups_train)."
        )
    x_train = _checked_images(name, "x_train", arrays["x_train"])
    x_test = _checked_images(name, "x_test", arrays["x_test"])
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"{name}: x_train holds images of {_shape(x_train)} and x_test of {_shape(x_test)};"
            " give both the same shape."
        )
    if fingerprint is None:
        _check_pixels(name, x_train)
    y_train = _checked_labels(name, "y_train", arrays["y_train"], len(x_train))
    y_test = _checked_labels(name, "y_test", arrays["y_test"], len(x_test))
    classes = _checked_classes(name, y_train, y_test, class_names)
    groups = arrays.get("groups_train")
    groups_train = None if groups is None else _checked_groups(name, groups, len(x_train))
    hashed: dict[str, AnyArray | ImageFiles] = {"x_train": x_train, "y_train": y_train}
    hashed |= {"x_test": x_test, "y_test": y_test}
    if groups_train is not None:
        hashed["groups_train"] = groups_train
    return ImageDataset(
        name=name,
        x_train=x_train,
        y_train=y_train,
        x_test=x_test,
        y_test=y_test,
        classes=classes,
        groups_train=groups_train,
        skipped=tuple(skipped),
        fingerprint=fingerprint or fingerprint_of(hashed, classes),
    )


def _shape(images: Images) -> str:
    return "x".join(str(side) for side in images.shape[1:])


def _check_pixels(name: str, x_train: Images) -> None:
    """Refuses images that show nothing; looks no further than the first that differs."""
    first = x_train[:1]
    pixel = first[0, 0, 0]
    if all(bool((chunk == pixel).all()) for chunk in image_chunks(x_train)):
        levels = [str(int(level)) for level in pixel]
        shown = levels[0] if len(levels) == 1 else f"({', '.join(levels)})"
        raise DataError(
            f"{name}: every pixel of x_train is {shown}, so all images are the same;"
            " give images that differ between classes."
        )
    if len(x_train) > 1 and all(bool((chunk == first).all()) for chunk in image_chunks(x_train)):
        raise DataError(
            f"{name}: all {len(x_train)} images of x_train are the same; give images that differ between classes."
        )


def _checked_images(name: str, key: str, images: AnyArray | ImageFiles) -> Images:
    if isinstance(images, ImageFiles):
        return images
    if images.dtype != np.uint8:
        raise DataError(f"{name}: {key} is {images.dtype}; images must be uint8 from 0 to 255, so convert them first.")
    if images.ndim not in (3, 4):
        raise DataError(
            f"{name}: {key} has {images.ndim} dimensions {images.shape};"
            " images must be (n, height, width) or (n, height, width, channels)."
        )
    if 0 in images.shape:
        raise DataError(f"{name}: {key} of shape {images.shape} is empty; give at least one image.")
    if images.ndim == 4 and images.shape[1] in _CHANNEL_COUNTS and images.shape[3] not in _CHANNEL_COUNTS:
        raise DataError(
            f"{name}: {key} of shape {images.shape} looks channels-first;"
            " transpose it to (n, height, width, channels) with x.transpose(0, 2, 3, 1)."
        )
    shaped = images if images.ndim == 4 else images[..., None]
    return np.ascontiguousarray(shaped, dtype=np.uint8)


def _checked_labels(name: str, key: str, labels: AnyArray | ImageFiles, images: int) -> LabelArray:
    if isinstance(labels, ImageFiles):
        raise DataError(f"{name}: {key} holds images; labels must be integers from 0 to K-1.")
    if labels.dtype.kind not in "iu":
        raise DataError(f"{name}: {key} is {labels.dtype}; labels must be integers from 0 to K-1.")
    if labels.ndim != 1:
        raise DataError(f"{name}: {key} has shape {labels.shape}; labels must be one number per image, shape (n,).")
    if len(labels) != images:
        raise DataError(
            f"{name}: {key} has {len(labels)} labels for {images} images in x{key[1:]}; give one label per image."
        )
    if int(labels.min()) < 0:
        raise DataError(f"{name}: {key} holds the negative label {int(labels.min())}; labels must be 0 to K-1.")
    if int(labels.max()) >= np.iinfo(np.int32).max:
        raise DataError(f"{name}: {key} holds the label {int(labels.max())}; labels must be 0 to K-1.")
    return labels.astype(np.int64)


def _checked_classes(
    name: str, y_train: LabelArray, y_test: LabelArray, class_names: Sequence[str] | None
) -> tuple[str, ...]:
    present = np.unique(y_train)
    if len(present) < 2 and (class_names is None or len(class_names) < 2):
        raise DataError(f"{name}: y_train holds one class only ({int(present[0])}); classification needs at least 2.")
    count = int(present[-1]) + 1 if class_names is None else len(class_names)
    if present[-1] >= count:
        raise DataError(f"{name}: y_train holds the label {int(present[-1])} but only {count} classes are named.")
    gap = first_missing(present, count)
    if gap is not None:
        raise DataError(
            f"{name}: no training image has label {gap} of 0 to {count - 1};"
            " number the classes without gaps or add images of it."
        )
    unseen = np.setdiff1d(y_test, present)
    if len(unseen):
        raise DataError(
            f"{name}: y_test holds label {int(unseen[0])}, which no training image has;"
            " drop those images or train on some."
        )
    if class_names is None:
        return tuple(str(number) for number in range(count))
    if len(set(class_names)) != count:
        raise DataError(f"{name}: two of the {count} classes share a name; name each class once.")
    return tuple(class_names)


def first_missing(present: LabelArray, count: int) -> int | None:
    """The first of ``0 … count-1`` that sorted distinct labels lack."""
    upto = min(len(present), count)
    wrong = np.flatnonzero(present[:upto] != np.arange(upto))
    if len(wrong):
        return int(wrong[0])
    return upto if upto < count else None


def _checked_groups(name: str, groups: AnyArray | ImageFiles, images: int) -> LabelArray:
    if isinstance(groups, ImageFiles) or groups.dtype.kind not in "iuUS":
        raise DataError(f"{name}: groups_train is {groups.dtype}; groups must be integers or strings.")
    if groups.shape != (images,):
        raise DataError(
            f"{name}: groups_train has shape {groups.shape} for {images} training images; give one group per image."
        )
    _, numbers = np.unique(groups, return_inverse=True)
    return numbers.astype(np.int64)
