"""Data sets as folders of image files: ``PATH/train/CLASS/*`` and ``PATH/test/CLASS/*``."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import DataError, ImageDataset
from nas.data.decoding import in_workers
from nas.data.folder_scan import FolderScan, read_scan, scan_path, write_scan
from nas.data.image_memory import image_memory_bytes
from nas.data.images import ImageFiles, Size, decoded_bytes, image_header, unreadable
from nas.data.validation import checked_dataset

Item = TypeVar("Item")

_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
_GRAY_MODES: Final = frozenset({"1", "L", "LA"})
_LOCATION: Final = re.compile(
    r"^(?P<path>.+?)(@(?P<height>\d+)x(?P<width>\d+))?(?P<skip>\?skip-damaged)?$", flags=re.DOTALL
)
_CHECKED_TOGETHER: Final = 256
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
            raise DataError(f"imagefolder:{text} has no path; write imagefolder:PATH or imagefolder:PATH@HxW.")
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

    Images that would take more memory than :func:`image_memory_bytes` stay files. The
    content is the same, and so is the fingerprint, which is then kept in the home's
    cache for as long as no file changes: to find it, each file is decoded once.

    Raises:
        DataError: if folders or images are missing or cannot be read, or images are of several sizes.
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
        raise DataError(f"{test} holds class {unseen[0]!r}, which {train} does not; remove it or add training images.")
    listed = [_files(train, classes, every_class=True), _files(test, classes, every_class=False)]
    cache = scan_path(root, _flat(_flat(listed)), [asked.size, asked.skip_damaged])
    known = read_scan(cache)
    damaged = _damaged(asked, listed, known)
    train_files, test_files = ([[p for p in paths if p not in damaged] for paths in files] for files in listed)
    _check_left(train, train_files, classes)
    if not any(test_files):
        raise DataError(f"no image under {test} can be read; repair the files.")
    paths = _flat([*train_files, *test_files])
    size, gray = (known.size, known.gray) if known else _size_and_gray(location, asked, paths)
    x_train = ImageFiles(paths=tuple(_flat(train_files)), size=size, gray=gray)
    x_test = ImageFiles(paths=tuple(_flat(test_files)), size=size, gray=gray)
    streamed = decoded_bytes(x_train) + decoded_bytes(x_test) > image_memory_bytes()
    names = tuple(str(path.relative_to(root)) for path in _flat(_flat(listed)) if path in damaged)
    dataset = checked_dataset(
        f"imagefolder:{root.name}",
        {
            "x_train": x_train if streamed else x_train[:],
            "y_train": _labels(train_files),
            "x_test": x_test if streamed else x_test[:],
            "y_test": _labels(test_files),
        },
        classes,
        skipped=names,
        fingerprint=known.fingerprint if known else None,
    )
    if streamed and not known:
        write_scan(cache, FolderScan(size=size, gray=gray, skipped=names, fingerprint=dataset.fingerprint))
    return dataset


def _damaged(asked: _Location, listed: Sequence[Sequence[Sequence[Path]]], known: FolderScan | None) -> frozenset[Path]:
    """The files to leave out; empty unless that was asked for."""
    if not asked.skip_damaged:
        return frozenset()
    if known:
        return frozenset(asked.root / name for name in known.skipped)
    paths = tuple(_flat(_flat(listed)))
    parts = (
        # Neither size nor color matters to whether a file can be read.
        ImageFiles(paths=paths[start : start + _CHECKED_TOGETHER], size=(1, 1), gray=True)
        for start in range(0, len(paths), _CHECKED_TOGETHER)
    )
    return frozenset(path for part in in_workers(unreadable, parts) for path in part)


def _size_and_gray(location: str, asked: _Location, paths: Sequence[Path]) -> tuple[Size, bool]:
    headers = [image_header(path) for path in paths]
    size = asked.size or _only_size(location, [size for size, _ in headers])
    return size, all(mode in _GRAY_MODES for _, mode in headers)


def _flat(parts: Iterable[Iterable[Item]]) -> list[Item]:
    return [item for part in parts for item in part]


def _only_size(location: str, sizes: Sequence[Size]) -> Size:
    """The size of all images.

    Raises:
        DataError: if there are several.
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


def _check_left(train: Path, files: Sequence[Sequence[Path]], classes: Sequence[str]) -> None:
    for name, paths in zip(classes, files, strict=True):
        if not paths:
            raise DataError(f"no image in {train / name} can be read; repair the files or remove the folder.")


def most_common_size(sizes: Iterable[Size]) -> Size:
    """The most frequent size; of equally frequent ones the smallest."""
    counts = Counter(sizes)
    return min(counts, key=lambda size: (-counts[size], size))
