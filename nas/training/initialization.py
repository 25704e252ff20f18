"""Initializes a supernet from another data set's supernet of the same space.

What depends on the data alone starts afresh: the classifier always, since its classes mean
something else, and the input layer where the number of channels differs.
"""

import contextlib
from pathlib import Path

import torch

from nas.families.registry import build_supernet
from nas.supernet.supernet import Supernet
from nas.training.record import RECORD_FILE, SupernetError, SupernetRecord, load_supernet, read_record
from search_spaces.errors import UnknownNameError, UsageError
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec


def initialize_from(supernet: Supernet, root: Path, weights_sha256: str) -> frozenset[str]:
    """Copies a finished supernet's weights into an untrained one of the same space.

    Args:
        supernet: Changed in place.
        root: Where finished supernets lie, one folder each.
        weights_sha256: Of the one to start from.

    Returns:
        The tensors that were not copied, by name.

    Raises:
        UnknownNameError: if no supernet has these weights.
        UsageError: if it is of another space, or of images that its weights do not fit.
        SupernetError: if it is damaged.
    """
    folder, record = _find(root, weights_sha256)
    check_space(record.space, supernet.space.name, weights_sha256)
    source, _ = load_supernet(folder)
    ours, theirs = supernet.state_dict(), source.state_dict()
    task = supernet.space.task
    afresh = _changed_with(record.space, task, task.with_classes(task.classes + 1))
    if task.is_image_classification and record.task.image.channels != task.image.channels:
        other = task.image._replace(channels=task.image.channels + 1)
        afresh |= _changed_with(
            record.space, task, TaskSpec.image_classification(**other._asdict(), classes=task.classes)
        )
    for name, tensor in ours.items():
        if name in afresh:
            continue
        if name not in theirs or theirs[name].shape != tensor.shape:
            raise UsageError(
                f"the supernet {weights_sha256[:12]} was trained on images of {_shape(record.task)}, and its weights"
                f" ({name}) do not fit images of {_shape(task)}; train without --init, or resize the images."
            )
    with torch.no_grad():
        for name, tensor in ours.items():
            if name not in afresh:
                tensor.copy_(theirs[name])
    return afresh


def check_space(source: str, wanted: str, weights_sha256: str) -> None:
    """Refuses the weights of another space.

    Raises:
        UsageError: names both spaces.
    """
    if source != wanted:
        raise UsageError(
            f"the supernet {weights_sha256[:12]} is of the space {source} and cannot initialize {wanted}; give --init"
            f" a supernet of {wanted}, or train without it."
        )


def _find(root: Path, weights_sha256: str) -> tuple[Path, SupernetRecord]:
    known = []
    for path in sorted(root.glob(f"*/{RECORD_FILE}")):
        # A damaged one beside it is another's trouble.
        with contextlib.suppress(SupernetError):
            record = read_record(path.parent)
            if record.weights_sha256 == weights_sha256:
                return path.parent, record
            known.append(record.weights_sha256[:12])
    raise UnknownNameError("supernet", weights_sha256, tuple(sorted(known)))


def _changed_with(name: str, task: TaskSpec, other: TaskSpec) -> frozenset[str]:
    """The tensors whose shape another task changes, found by building both."""
    first, second = (
        {key: tensor.shape for key, tensor in build_supernet(get_space(name, one)).state_dict().items()}
        for one in (task, other)
    )
    return frozenset(key for key, shape in first.items() if second[key] != shape)


def _shape(task: TaskSpec) -> str:
    return f"{task.image.height}x{task.image.width}x{task.image.channels}"
