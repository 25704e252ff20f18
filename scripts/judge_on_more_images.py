#!/usr/bin/env python3
"""Counts the accuracy of an exported fashion-mini front on images of Fashion-MNIST that the project does not embed.

    apt-get install dataset-fashion-mnist
    python scripts/judge_on_more_images.py FOLDER/front.json

Says how far expected accuracies lie above accuracies on two sets of images: the test images, and training images
that are not embedded, so that neither supernet nor validation saw them. These come from the distribution that the
expected accuracy speaks of: the difference between both is due to the test images themselves.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from make_fashion_mini import read_idx
from numpy.typing import NDArray

from hw_profiles.onnx_graph import load_onnx
from nas.data.fashion_mini import load_fashion_mini
from nas.data.normalization import Normalization
from nas.evaluation.artifact_accuracy import artifact_accuracy

UNSEEN = 10_000
SETS = ("test images", "unseen training images")
Images = NDArray[np.uint8]


def unseen(source: Path, embedded: Images) -> tuple[Images, NDArray[np.int64]]:
    """Training images of Fashion-MNIST that are not embedded, and their labels: ``UNSEEN`` in a seeded order."""
    images = read_idx(source / "train-images-idx3-ubyte.gz")[..., None]
    labels = read_idx(source / "train-labels-idx1-ubyte.gz").astype(np.int64)
    known = {image.tobytes() for image in embedded}
    order = np.random.default_rng(0).permutation(len(images))
    rows = np.array([row for row in order if images[row].tobytes() not in known][:UNSEEN])
    return images[rows], labels[rows]


def networks(front: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The networks of a front file that have files, each with what it is there."""
    for member in front["members"]:
        yield "members", member
    for name, entry in (front.get("baselines") or {}).items():
        for member in entry if isinstance(entry, list) else [entry]:
            yield name, member


def main() -> None:
    """Prints a row per network and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("front", type=Path, help="front.json of `hwnas export`, or a front file of the quickstart")
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    arguments = parser.parse_args()
    front = json.loads(arguments.front.read_text("utf-8"))
    embedded = load_fashion_mini()
    if front["data"] != embedded.name:
        parser.error(f"{arguments.front} is a front of {front['data']}, not of {embedded.name}.")
    images, labels = unseen(arguments.source, embedded.x_train)
    above: dict[str, list[list[float]]] = {}
    for kind, member in networks(front):
        files = {name: arguments.front.parent / path for name, path in member["artifacts"].items()}
        if not files["onnx"].is_file():
            continue  # a baseline, which is not exported
        manifest = json.loads(files["manifest"].read_text("utf-8"))
        normalization = Normalization.from_json(manifest["input"])
        graph = load_onnx(files["onnx"])
        found = [member["accuracy_test"], artifact_accuracy(graph, normalization.apply(images), labels)]
        expected = member["accuracy"]["expected"]
        above.setdefault(kind, []).append([expected - one for one in found])
        shown = ", ".join(f"{name} {one:.1%}" for name, one in zip(SETS, found, strict=True))
        sys.stdout.write(f"{kind}: expected {expected:.1%}; {shown}\n")
    for kind, rows in above.items():
        means = ", ".join(
            f"{100 * mean:+.2f} on {name}" for name, mean in zip(SETS, np.mean(rows, axis=0), strict=True)
        )
        sys.stdout.write(f"{kind}: expected minus counted, mean of {len(rows)}, in points: {means}\n")


if __name__ == "__main__":
    main()
