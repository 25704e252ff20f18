"""Small npz data sets for tests."""

import io
import zipfile
from typing import Any

import numpy as np


def arrays(*, train: int = 40, test: int = 12, side: int = 28, classes: int = 2, seed: int = 0) -> dict[str, Any]:
    """Gray images whose brightness tells their class."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for part, count in (("train", train), ("test", test)):
        labels = np.arange(count) % classes
        noise = rng.integers(0, 40, size=(count, side, side))
        found[f"x_{part}"] = (noise + labels[:, None, None] * 80).astype(np.uint8)
        found[f"y_{part}"] = labels.astype(np.int64)
    return found


def npz_bytes(**changed: Any) -> bytes:
    """A whole file; arrays that are given replace those of :func:`arrays`."""
    file = io.BytesIO()
    np.savez_compressed(file, **(arrays() | changed))
    return file.getvalue()


def bomb_bytes(decoded_bytes: int) -> bytes:
    """A small file that decompresses to many bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x_train.npy", "w") as member:
        block = bytes(1 << 20)
        for _ in range(decoded_bytes >> 20):
            member.write(block)
    return file.getvalue()
