"""The embedded data set: a balanced part of Fashion-MNIST's training images, and its test images.

12,000 training and 10,000 test images of 28x28 grayscale pixels in 10 classes, chosen
by ``scripts/make_fashion_mini.py``; MIT, see ``NOTICE.fashion-mnist``.
"""

from importlib import resources

from nas.data.dataset import ImageDataset
from nas.data.npz import load_npz

NAME = "fashion-mini"


def load_fashion_mini() -> ImageDataset:
    """The data set that quickstart uses."""
    with resources.as_file(resources.files("nas.data") / "fashion_mini.npz") as path:
        return load_npz(path, name=NAME)
