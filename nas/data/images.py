"""Images in memory, or as files that are decoded when they are needed.

Both give uint8 of shape ``(n, height, width, channels)`` for chosen rows, and the same pixels:
what is trained on them does not depend on which of the two they are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.data.dataset import DataError, ImageArray

RowArray = NDArray[np.int64]
Size = tuple[int, int]
"""Height and width in pixels."""

_CHUNK_BYTES: Final = 32 * 2**20
_LARGEST_CHUNK: Final = 1024
_DAMAGE: Final = (OSError, Image.DecompressionBombError, SyntaxError, ValueError, EOFError)
"""What Pillow raises for files that are no images, cut short or damaged."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFiles:
    """Image files that are decoded and scaled (bilinear) when rows are asked for."""

    paths: tuple[Path, ...]
    size: Size
    gray: bool
    """One channel if so, else three (RGB)."""

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(n, height, width, channels)``."""
        return (len(self.paths), *self.size, 1 if self.gray else 3)

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """Of what is decoded."""
        return np.dtype(np.uint8)

    def __getitem__(self, rows: slice | RowArray) -> ImageArray:
        """Decodes these rows in this process.

        Raises:
            DataError: names the first file that cannot be read.
        """
        images = self.subset(rows)
        out = np.empty(images.shape, dtype=np.uint8)
        for row, path in enumerate(images.paths):
            out[row] = pixels(open_image(path), size=self.size, gray=self.gray)
        return out

    def subset(self, rows: slice | RowArray) -> "ImageFiles":
        """The files of these rows; nothing is decoded."""
        chosen = self.paths[rows] if isinstance(rows, slice) else tuple(self.paths[row] for row in rows.tolist())
        return ImageFiles(paths=chosen, size=self.size, gray=self.gray)


Images: TypeAlias = ImageArray | ImageFiles


def subset(images: Images, rows: RowArray) -> Images:
    """Some rows; files stay files."""
    return images.subset(rows) if isinstance(images, ImageFiles) else images[rows]


def decoded_bytes(images: Images) -> int:
    """Memory of all images as uint8."""
    return int(np.prod(images.shape, dtype=np.int64))


def unreadable(files: ImageFiles) -> list[Path]:
    """The files that cannot be decoded."""
    found = []
    for path in files.paths:
        try:
            open_image(path)
        except DataError:
            found.append(path)
    return found


def chunk_rows(images: Images) -> Iterator[slice]:
    """Consecutive rows that take little memory when they are decoded."""
    image_bytes = int(np.prod(images.shape[1:]))
    count = max(1, min(_LARGEST_CHUNK, _CHUNK_BYTES // image_bytes))
    for start in range(0, len(images), count):
        yield slice(start, start + count)


def pixels(image: Image.Image, *, size: Size, gray: bool) -> ImageArray:
    """A Pillow image as uint8 of shape ``(height, width, 1 or 3)``, scaled where it has another size."""
    height, width = size
    converted = image.convert("L" if gray else "RGB")
    if (converted.height, converted.width) != size:
        converted = converted.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(converted, dtype=np.uint8).reshape(height, width, -1)


def stack_images(images: Iterable[Image.Image], *, size: Size, gray: bool) -> ImageArray:
    """Pillow images as uint8 of shape ``(n, height, width, 1 or 3)``."""
    return np.stack([pixels(image, size=size, gray=gray) for image in images])


def open_image(path: Path) -> Image.Image:
    """A decoded file.

    Raises:
        DataError: if it cannot be read or is damaged.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def image_header(path: Path) -> tuple[Size, str]:
    """Size and Pillow's mode, without decoding the pixels; errors as :func:`open_image`."""
    try:
        with Image.open(path) as image:
            return (image.height, image.width), image.mode
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> DataError:
    return DataError(
        f"{path} is not a readable image ({error}); repair or remove it, or leave such images out (--skip-damaged)."
    )
