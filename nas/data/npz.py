"""Data sets as plain npz files: uint8 images, integer labels, never a pickle."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import DataError, ImageDataset
from nas.data.validation import REQUIRED_KEYS, checked_dataset
from nas.home import write_atomically

AnyArray = NDArray[np.generic]
_OPTIONAL_KEYS = ("groups_train", "classes")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def load_npz(path: Path, *, name: str) -> ImageDataset:
    """A data set from an npz file with ``x_train, y_train, x_test, y_test``.

    ``groups_train`` and ``classes`` (the names of classes 0 to K-1) are optional;
    other arrays in the file are not read.

    Raises:
        DataError: if the file is not such a file; the message is one sentence.
    """
    arrays = _read(path)
    names = _class_names(path, arrays.pop("classes", None))
    if names is not None and len(names) < 2:
        raise DataError(f"{path}: classes names {len(names)} class; classification needs at least 2.")
    return checked_dataset(name, arrays, names)


def _read(path: Path) -> dict[str, AnyArray]:
    if not path.is_file():
        raise DataError(f"{path} is not a file; give the path of an npz file with {', '.join(REQUIRED_KEYS)}.")
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{path} is not a complete npz file (another format, or truncated); write it with numpy.savez_compressed."
        )
    arrays: dict[str, AnyArray] = {}
    key = "the file"
    try:
        with np.load(path, allow_pickle=False) as file:
            for key in (*REQUIRED_KEYS, *_OPTIONAL_KEYS):
                if key in file.files:
                    arrays[key] = np.asarray(file[key])
    except MemoryError as error:
        raise DataError(f"{path}: {key} does not fit in memory; give fewer or smaller images.") from error
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path}: {key} holds Python objects, which are never loaded; save plain arrays."
            ) from error
        raise DataError(f"{path}: {key} cannot be read ({error}); write the file again.") from error
    return arrays


def _class_names(path: Path, names: AnyArray | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DataError(f"{path}: classes is {names.dtype} of shape {names.shape}; it must be K strings.")
    return tuple(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text) for text in names.tolist())


def export_npz(dataset: ImageDataset, path: Path) -> None:
    """Writes the file that :func:`load_npz` reads; equal data sets give equal bytes.

    Raises:
        DiskFullError: if the disk has no space.
        DataError: if the file cannot be written.
    """
    # Image files are decoded here.
    arrays: dict[str, AnyArray] = {key: getattr(dataset, key)[:] for key in REQUIRED_KEYS}
    if dataset.groups_train is not None:
        arrays["groups_train"] = dataset.groups_train
    arrays["classes"] = np.array(dataset.classes)
    try:
        write_npz(path, arrays)
    except (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); choose another path.") from error


def write_npz(path: Path, arrays: Mapping[str, AnyArray]) -> None:
    """Writes arrays compressed and atomically, without the time of day in the file."""

    def fill(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, array in arrays.items():
                content = io.BytesIO()
                np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
                member = zipfile.ZipInfo(f"{name}.npy", date_time=_EPOCH)
                member.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(member, content.getbuffer(), compresslevel=9)

    write_atomically(path, fill)
