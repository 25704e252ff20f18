"""Data sets as folders of image files: ``PATH/train/CLASS/*`` and ``PATH/test/CLASS/*``."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.data.dataset import DataError, ImageArray, ImageDataset
from nas.data.validation import checked_dataset

Size = tuple[int, int]
"""Height and width in pixels."""

_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
_GRAY_MODES: Final = frozenset({"1", "L", "LA"})
_LOCATION: Final = re.compile(
    r"^(?P<path>.+?)(@(?P<height>\d+)x(?P<width>\d+))?(?P<skip>\?skip-damaged)?$", flags=re.DOTALL
)
SKIP_DAMAGED: Final = "?skip-damaged"
"""At the end of a location: images that cannot be read are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Location:
    """``PATH``, ``PATH@HxW``, and either with :data:`SKIP_DAMAGED` behind it."""

    root: Path
    size: Size | None
    skip_damaged: bool

    @classmethod
    def parse(cls, text: str) -> "_Location":
        match = _LOCATION.match(text)
        if match is None:
            raise DataError(f"imagefolder:{text} names no folder; write imagefolder:PATH or imagefolder:PATH@HxW.")
        size = (int(match["height"]), int(match["width"])) if match["height"] else None
        if size is not None and min(size) < 1:
            raise DataError(f"imagefolder:{text} asks for images of {size[0]}x{size[1]}; give at least 1x1.")
        return cls(root=Path(match["path"]).expanduser(), size=size, skip_damaged=match["skip"] is not None)


def load_imagefolder(location: str) -> ImageDataset:
    """A data set from ``PATH`` or ``PATH@HxW``.

    Classes are the folder names of ``train``, sorted. All images are resized to the
    given size (bilinear); without one they must be of one size. They are grayscale
    where every file is, else RGB. ``test`` is used as test part, ``val`` where there
    is no ``test``. With ``?skip-damaged`` at the end, images that cannot be read are
    left out and named in the data set's ``skipped``.

    Raises:
        DataError: where folders or images are missing or cannot be read, or images are of several sizes.
    """
    asked = _Location.parse(location)
    root = asked.root
    train = _part(root, ("train",))
    test = _part(root, ("test", "val"))
    classes = sorted(folder.name for folder in train.iterdir() if folder.is_dir())
    if len(classes) < 2:
        raise DataError(f"{train} holds {len(classes)} class folders; classification needs at least 2.")
    unseen = sorted({folder.name for folder in test.iterdir() if folder.is_dir()} - set(classes))
    if unseen:
        raise DataError(f"{test} holds class {unseen[0]!r}, which {train} does not; drop it or train on some.")
    skipped: list[Path] = []
    train_files = _files(train, classes, every_class=True)
    test_files = _files(test, classes, every_class=False)
    if asked.skip_damaged:
        train_files, test_files = ([_readable(part, skipped) for part in files] for files in (train_files, test_files))
        _check_left(train, train_files, classes)
        if not any(test_files):
            raise DataError(f"no image under {test} can be read; repair some.")
    train_paths, test_paths = ([path for files in part for path in files] for part in (train_files, test_files))
    headers = [_header(path) for path in (*train_paths, *test_paths)]
    size = asked.size or _only_size(location, [size for size, _ in headers])
    gray = all(gray for _, gray in headers)
    arrays: dict[str, NDArray[np.generic]] = {
        "x_train": stack_images((_open(path) for path in train_paths), size=size, gray=gray),
        "y_train": _labels(train_files),
        "x_test": stack_images((_open(path) for path in test_paths), size=size, gray=gray),
        "y_test": _labels(test_files),
    }
    names = [str(path.relative_to(root)) for path in skipped]
    return checked_dataset(f"imagefolder:{root.name}", arrays, classes, skipped=names)


def _only_size(location: str, sizes: Sequence[Size]) -> Size:
    """The size of all images.

    Raises:
        DataError: where there are several.
    """
    counts = Counter(sizes)
    common = most_common_size(sizes)
    if len(counts) > 1:
        height, width = common
        raise DataError(
            f"imagefolder:{location} holds images of {len(counts)} sizes ({counts[common]} of {len(sizes)} are"
            f" {height}x{width}); say which size all are scaled to, such as"
            f" imagefolder:{location.removesuffix(SKIP_DAMAGED)}@{height}x{width}."
        )
    return common


def _part(root: Path, names: Sequence[str]) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(f"{root} has no folder {' or '.join(names)}; lay images out as train/CLASS/* and test/CLASS/*.")


def _files(part: Path, classes: Sequence[str], *, every_class: bool) -> list[list[Path]]:
    """Image files by class, sorted."""
    files: list[list[Path]] = []
    for name in classes:
        found = sorted(p for p in (part / name).rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
        if every_class and not found:
            raise DataError(f"{part / name} holds no image; add some ({', '.join(sorted(_SUFFIXES))}) or remove it.")
        files.append(found)
    if not any(files):
        raise DataError(f"{part} holds no image; add some ({', '.join(sorted(_SUFFIXES))}).")
    return files


def _labels(files: Sequence[Sequence[Path]]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(files), dtype=np.int64), [len(paths) for paths in files])


def _readable(paths: Sequence[Path], skipped: list[Path]) -> list[Path]:
    """The files that can be decoded; the others are added to ``skipped``."""
    readable = []
    for path in paths:
        try:
            _open(path)
        except DataError:
            skipped.append(path)
        else:
            readable.append(path)
    return readable


def _check_left(train: Path, files: Sequence[Sequence[Path]], classes: Sequence[str]) -> None:
    for name, paths in zip(classes, files, strict=True):
        if not paths:
            raise DataError(f"no image in {train / name} can be read; repair some or remove the folder.")


_DAMAGE: Final = (OSError, Image.DecompressionBombError, SyntaxError, ValueError, EOFError)
"""What Pillow raises for files that are no images, cut short or damaged."""


def _damaged(path: Path, error: BaseException) -> DataError:
    return DataError(
        f"{path} is not a readable image ({error}); repair or remove it, or leave such images out (--skip-damaged)."
    )


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _header(path: Path) -> tuple[Size, bool]:
    """Size and whether it is grayscale, without decoding the pixels."""
    try:
        with Image.open(path) as image:
            return (image.height, image.width), image.mode in _GRAY_MODES
    except _DAMAGE as error:
        raise _damaged(path, error) from error


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
