#!/usr/bin/env python3
"""Makes ``nas/data/fashion_mini.npz`` from Debian's package ``dataset-fashion-mnist``.

    apt-get install dataset-fashion-mnist
    python scripts/make_fashion_mini.py

The first 1,200 training images of each class in a seeded shuffle, and all test images, so that test
accuracies compare with published ones. The same input gives the same arrays everywhere, and the same bytes
under the same zlib.
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.data.npz import write_npz

SEED = 20170825
TRAIN_PER_CLASS = 1200
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array in the IDX format of MNIST, uint8."""
    content = gzip.decompress(path.read_bytes())
    dimensions = content[3]
    shape = np.frombuffer(content, dtype=">i4", count=dimensions, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def balanced_part(labels: NDArray[np.uint8], per_class: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Shuffled indices of ``per_class`` images per class."""
    order = rng.permutation(len(labels))
    chosen = np.concatenate([order[labels[order] == label][:per_class] for label in range(len(CLASSES))])
    return rng.permutation(chosen)


def fashion_mini(source: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of the npz file."""
    labels = read_idx(source / "train-labels-idx1-ubyte.gz")
    chosen = balanced_part(labels, TRAIN_PER_CLASS, np.random.default_rng(SEED))
    return {
        "x_train": read_idx(source / "train-images-idx3-ubyte.gz")[chosen][..., None],
        "y_train": labels[chosen],
        "x_test": read_idx(source / "t10k-images-idx3-ubyte.gz")[..., None],
        "y_test": read_idx(source / "t10k-labels-idx1-ubyte.gz"),
        "classes": np.array(CLASSES),
    }


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parents[1] / "nas" / "data" / "fashion_mini.npz"
    )
    arguments = parser.parse_args()
    write_npz(arguments.out, fashion_mini(arguments.source))


if __name__ == "__main__":
    main()
