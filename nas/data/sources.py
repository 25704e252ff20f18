"""Data sets by name: what ``--data`` takes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nas.data.dataset import ImageDataset
from nas.data.fashion_mini import load_fashion_mini
from nas.data.huggingface import load_huggingface
from nas.data.imagefolder import SKIP_DAMAGED, load_imagefolder
from nas.data.npz import load_npz
from search_spaces.errors import UnknownNameError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """One way to name a data set.

    Attributes:
        form: What a user types.
        description: What it is.
        flip: Whether training mirrors its images by default: only where a mirrored
            image is known to mean the same, never for digits, text or images of unknown content.
    """

    form: str
    description: str
    flip: bool = False


_EMBEDDED: Final[dict[str, Callable[[], ImageDataset]]] = {"fashion-mini": load_fashion_mini}

SOURCES: Final = (
    DataSource(
        form="fashion-mini",
        description="embedded: 12,000 training and all 10,000 test images of Fashion-MNIST, 28x28, 10 classes",
        flip=True,
    ),
    DataSource(
        form="npz:PATH",
        description="x_train, y_train, x_test, y_test (uint8, NHWC or NHW); optional groups_train and classes",
    ),
    DataSource(
        form="imagefolder:PATH[@HxW]",
        description="PATH/train/CLASS/* and PATH/test/CLASS/* (or val); scaled to HxW, needed where sizes differ",
    ),
    DataSource(form="stored:ID", description="uploaded to the service, or added with hwnas data add"),
    DataSource(form="hf:NAME", description="a data set of the Hugging Face hub (extra: hwnas[huggingface])"),
)
"""Every form that :func:`load_dataset` takes."""


def load_dataset(spec: str) -> ImageDataset:
    """The data set that a user named; see :data:`SOURCES`.

    Raises:
        UnknownNameError: if the form is unknown.
        DataError: if the data is not what it should be.
    """
    kind, separator, rest = spec.partition(":")
    if not separator:
        if spec in _EMBEDDED:
            return _EMBEDDED[spec]()
        raise UnknownNameError("data set", spec, tuple(source.form for source in SOURCES))
    if kind not in ("npz", "imagefolder", "hf"):
        raise UnknownNameError("kind of data set", kind, tuple(source.form for source in SOURCES))
    if not rest:
        raise UsageError(f"{spec!r} has no path or name; write {kind}: followed by its path or name.")
    if kind == "hf":
        return load_huggingface(rest)
    if kind == "imagefolder":
        return load_imagefolder(rest)
    path = Path(rest).expanduser()
    return load_npz(path, name=f"npz:{path.name}")


def flips_by_default(spec: str) -> bool:
    """Whether training on this data mirrors images by default; see :class:`DataSource`."""
    return any(source.form == spec and source.flip for source in SOURCES)


def absolute_spec(spec: str) -> str:
    """The same data named so that another working directory finds it, too."""
    kind, separator, rest = spec.partition(":")
    if separator and kind in ("npz", "imagefolder") and rest:
        return f"{kind}:{Path(rest).expanduser().resolve()}"
    return spec


def skipping_damaged(spec: str) -> str:
    """The same folder of images, without those that cannot be read.

    Raises:
        UsageError: if the data is no folder of images.
    """
    if not spec.startswith("imagefolder:"):
        raise UsageError(f"--skip-damaged is for folders of images (imagefolder:PATH), and the data is {spec}.")
    return spec if spec.endswith(SKIP_DAMAGED) else spec + SKIP_DAMAGED
