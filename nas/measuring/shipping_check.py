"""Final check of an artifact: its ONNX graph's outputs on many real images.

While a search measures, eight images tell a wrong artifact from a right one. What ships to a
device is held against the graph whose accuracy is shown, on images that the supernet did not
learn from; no choice is made by them.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from hw_profiles.network_files import NetworkFiles
from hw_profiles.onnx_graph import load_onnx
from nas.data.sources import load_dataset
from nas.home import write_atomically
from nas.training.prepared_data import prepare
from nas.training.record import read_record

if TYPE_CHECKING:
    from pathlib import Path

    from nas.data.normalization import FloatImages
    from nas.measuring.context import SearchContext
    from nas.measuring.preparation import Prepared

CHECKED_IMAGES: Final = 200
"""Validation images, spread evenly over the split; all, where there are fewer."""
LEAST_TOP1_AGREEMENT: Final = 0.995
"""Fraction of them whose class must be the graph's."""


def shipping_images(context: "SearchContext") -> "FloatImages":
    """The images that artifacts of a supernet are checked on, normalized, float32 ``(n, c, h, w)``.

    Raises:
        NasError: if the supernet's record or data cannot be read.
    """
    record = read_record(context.workspace.supernet_folder(context.supernet))
    dataset = load_dataset(context.workspace.data_spec(context.supernet))
    images = prepare(dataset, record.settings, record.normalization).validation_images
    rows = np.linspace(0, len(images) - 1, min(CHECKED_IMAGES, len(images))).round().astype(np.int64)
    return images[rows]


def shipping_files(prepared: "Prepared", images: "FloatImages") -> NetworkFiles:
    """A candidate's files with what its ONNX graph computes of these images as the reference.

    Raises:
        ArtifactError: if the graph cannot be run.
        DiskFullError: if the disk is full.
    """
    graph = load_onnx(prepared.onnx)
    outputs = np.concatenate([graph.run(images[row : row + 1]) for row in range(len(images))])
    reference = prepared.folder / "shipping.npz"

    def fill(temporary: "Path") -> None:
        with temporary.open("wb") as file:
            np.savez(file, input=images, output=outputs)

    write_atomically(reference, fill)
    return replace(prepared.network_files, reference=reference, min_top1_agreement=LEAST_TOP1_AGREEMENT)
