"""Data sets as folders of image files: ``PATH/train/CLASS/*`` and ``PATH/test/CLASS/*``."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nas.data.dataset import DataError, ImageArray, ImageDataset
from nas.data.validation import checked_dataset

Size = tuple[int, int]
"""Height and width in pixels."""

_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
_GRAY_MODES: Final = frozenset({"1", "L", "LA"})
_SIZE_AT_END: Final = re.compile(r"^(?P<path>.+)@(?P<height>\d+)x(?P<width>\d+)$")


def load_imagefolder(location: str) -> ImageDataset:
    """A data set from ``PATH`` or ``PATH@HxW``.

    Classes are the folder names of ``train``, sorted. All images are resized to the
    given size or the most common one of the training images (bilinear), grayscale
    where every file is, else RGB. ``test`` is used as test part, ``val`` where there
    is no ``test``.

    Raises:
        DataError: where folders or images are missing or cannot be read.
    """
    match = _SIZE_AT_END.match(location)
    root = Path(match["path"] if match else location).expanduser()
    size = (int(match["height"]), int(match["width"])) if match else None
    if size is not None and min(size) < 1:
        raise DataError(f"imagefolder:{location} asks for images of {size[0]}x{size[1]}; give at least 1x1.")
    train = _part(root, ("train",))
    test = _part(root, ("test", "val"))
    classes = sorted(folder.name for folder in train.iterdir() if folder.is_dir())
    if len(classes) < 2:
        raise DataError(f"{train} holds {len(classes)} class folders; classification needs at least 2.")
    unseen = sorted({folder.name for folder in test.iterdir() if folder.is_dir()} - set(classes))
    if unseen:
        raise DataError(f"{test} holds class {unseen[0]!r}, which {train} does not; drop it or train on some.")
    train_files, train_labels = _files(train, classes, every_class=True)
    test_files, test_labels = _files(test, classes, every_class=False)
    sizes, grays = zip(*(_header(path) for path in train_files), strict=True)
    gray = all(grays) and all(_header(path)[1] for path in test_files)
    size = size or most_common_size(sizes)
    arrays: dict[str, NDArray[np.generic]] = {
        "x_train": stack_images((_open(path) for path in train_files), size=size, gray=gray),
        "y_train": train_labels,
        "x_test": stack_images((_open(path) for path in test_files), size=size, gray=gray),
        "y_test": test_labels,
    }
    return checked_dataset(f"imagefolder:{root.name}", arrays, classes)


def _part(root: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(f"{root} has no folder {' or '.join(names)}; lay images out as train/CLASS/* and test/CLASS/*.")


def _files(part: Path, classes: Sequence[str], *, every_class: bool) -> tuple[list[Path], NDArray[np.int64]]:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(p for p in (part / name).rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
        if every_class and not found:
            raise DataError(f"{part / name} holds no image; add some ({', '.join(sorted(_SUFFIXES))}) or remove it.")
        files += found
        labels += [label] * len(found)
    if not files:
        raise DataError(f"{part} holds no image; add some ({', '.join(sorted(_SUFFIXES))}).")
    return files, np.array(labels, dtype=np.int64)


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a readable image ({error}); repair or remove it.") from error


def _header(path: Path) -> tuple[Size, bool]:
    """Size and whether it is grayscale, without decoding the pixels."""
    try:
        with Image.open(path) as image:
            return (image.height, image.width), image.mode in _GRAY_MODES
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a readable image ({error}); repair or remove it.") from error


def most_common_size(sizes: Iterable[Size]) -> Size:
    """The most frequent size; of equally frequent ones the smallest."""
    counts = Counter(sizes)
    return min(counts, key=lambda size: (-counts[size], size))


def stack_images(images: Iterable[Image.Image], *, size: Size, gray: bool) -> ImageArray:
    """Pillow images as uint8 of shape ``(n, height, width, 1 or 3)``."""
    height, width = size
    rows = []
    for image in images:
        converted = image.convert("L" if gray else "RGB")
        if (converted.height, converted.width) != size:
            converted = converted.resize((width, height), Image.Resampling.BILINEAR)
        rows.append(np.asarray(converted, dtype=np.uint8).reshape(height, width, -1))
    return np.stack(rows)
