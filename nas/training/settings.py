"""Training settings of a supernet: everything that affects its weights."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, get_args

from search_spaces.errors import UsageError

Optimizer = Literal["sgd", "adamw", "muon"]
OPTIMIZERS: Final[tuple[Optimizer, ...]] = get_args(Optimizer)
DEFAULT_EPOCHS: Final = 20
_LEAST_STEPS: Final = 1500
"""Steps that a small data set's training should have: after fewer, a supernet's networks are far from trained."""
_MOST_DEFAULT_EPOCHS: Final = 200
_DEFAULTS: Final[dict[Optimizer, tuple[float, float]]] = {
    "sgd": (0.2, 5e-4),
    "adamw": (3e-3, 0.05),
    "muon": (6e-3, 0.05),
}
"""Learning rate and weight decay that go with an optimizer at a batch size of 64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Settings of one training; two trainings with equal settings and data give equal weights.

    Attributes:
        epochs: Passes over the training part.
        batch_size: Images per step; every sub-network of the step sees the same images.
        optimizer: SGD with Nesterov momentum 0.9, AdamW, or Muon (:mod:`nas.training.muon`).
        learning_rate: The peak; rises linearly over the warm-up, then falls as a cosine to 0.
        warmup_share: Share of the steps that warm up, 0 to below 1.
        weight_decay: On weights of convolutions and linear layers alone.
        label_smoothing: For the largest sub-network, which alone learns from labels.
        dropout: Before the classifier, for the largest sub-network alone.
        label_share: Share of the labels in the other sub-networks' targets, 0 to 1; the rest is the
            largest one's output.
        largest_first_share: Share of the steps, from the first, that train the largest sub-network alone.
        ema_decay: Share of the weights' moving average that each step keeps; the average is what is
            evaluated and saved. 0 for none.
        clip_norm: Largest norm of a step's gradient.
        random_subnets: Random sub-networks per step, beside the largest and the smallest.
        shift_px: Reflected padding on each side that a random crop of a training image is taken from.
        cutout_px: Side of a random square of each training image that takes its mean color; 0 for none.
        flip: Mirror training images at random, left to right.
        validation_fraction: Share of the training images that validate.
        split_seed: Seed of the validation split.
        seed: Seed of everything else.
        init: SHA-256 of the weights of a finished supernet of the same space to start from; empty for a start
            from random weights.
        evaluate_every_epochs: How often the smallest, middle and largest sub-network are evaluated; changes no weight.
        checkpoint_every_s: Seconds between checkpoints; changes no weight.
    """

    epochs: int = DEFAULT_EPOCHS
    batch_size: int = 64
    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.2
    warmup_share: float = 0.1
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    dropout: float = 0.1
    label_share: float = 0.5
    largest_first_share: float = 0.0
    ema_decay: float = 0.0
    clip_norm: float = 2.0
    random_subnets: int = 2
    shift_px: int = 2
    cutout_px: int = 0
    flip: bool = False
    validation_fraction: float = 0.2
    split_seed: int = 0
    seed: int = 0
    init: str = ""
    evaluate_every_epochs: int = 1
    checkpoint_every_s: float = 30.0

    def __post_init__(self) -> None:
        allowed = {
            "epochs": (1, 100_000),
            "batch_size": (2, 65_536),
            "learning_rate": (1e-8, 100.0),
            "warmup_share": (0.0, 0.99),
            "weight_decay": (0.0, 1.0),
            "label_smoothing": (0.0, 0.99),
            "dropout": (0.0, 0.99),
            "label_share": (0.0, 1.0),
            "largest_first_share": (0.0, 1.0),
            "ema_decay": (0.0, 0.9999),
            "clip_norm": (1e-8, 1e8),
            "random_subnets": (0, 64),
            "shift_px": (0, 1024),
            "cutout_px": (0, 1024),
            "validation_fraction": (1e-6, 1 - 1e-6),
            "split_seed": (0, 2**63 - 1),
            "seed": (0, 2**63 - 1),
            "evaluate_every_epochs": (1, 100_000),
            "checkpoint_every_s": (0.0, 1e9),
        }
        for name, (low, high) in allowed.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise UsageError(f"the training setting {name} is {value}; it must lie between {low:g} and {high:g}.")
        if not re.fullmatch("([0-9a-f]{4,64})?", self.init):
            raise UsageError(
                f"the training setting init is {self.init!r}; give the id of a supernet, or at least 4 of its"
                " hexadecimal digits."
            )
        if self.optimizer not in OPTIMIZERS:
            allowed_names = ", ".join(OPTIMIZERS)
            raise UsageError(f"the training setting optimizer is {self.optimizer!r}; allowed are {allowed_names}.")

    @classmethod
    def with_defaults(cls, given: Mapping[str, Any], *, images: int | None = None) -> "TrainingSettings":
        """The settings of the given names; where the optimizer is given, its own rate and decay go with it.

        Args:
            given: settings by name.
            images: training images, those that validate included. Unless epochs are given, few images are passed
                over more often than many: :func:`default_epochs`.

        Raises:
            UsageError: for unknown names or values out of range.
        """
        optimizer = given.get("optimizer")
        if optimizer in _DEFAULTS:
            rate, decay = _DEFAULTS[optimizer]
            given = {"learning_rate": rate, "weight_decay": decay} | dict(given)
        settings = cls.from_json(dict(given))
        if images is None or "epochs" in given:
            return settings
        return replace(settings, epochs=default_epochs(settings, images))

    def as_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TrainingSettings":
        """The inverse of :meth:`as_json`.

        Raises:
            UsageError: for unknown fields or values out of range.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise UsageError(f"unknown training setting {unknown[0]!r}.")
        return cls(**values)

    def identity(self) -> dict[str, Any]:
        """The fields that the trained weights depend on."""
        values = self.as_json()
        for name in ("evaluate_every_epochs", "checkpoint_every_s"):
            del values[name]
        if not self.init:
            # As before there was a choice: a training without it keeps its id.
            del values["init"]
        return values


def default_epochs(settings: TrainingSettings, images: int) -> int:
    """20, or more if that would be fewer than 1,500 steps, but at most 200.

    Args:
        settings: with the batch size and the share of the images that validate.
        images: training images, those that validate included.
    """
    steps_per_epoch = max(1, round(images * (1 - settings.validation_fraction)) // settings.batch_size)
    return max(DEFAULT_EPOCHS, min(_MOST_DEFAULT_EPOCHS, math.ceil(_LEAST_STEPS / steps_per_epoch)))


def parse_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Settings written as ``NAME=VALUE``, such as ``ema_decay=0.98`` or ``flip=true``, by name.

    Raises:
        UsageError: for an unknown name, or a value of another kind; ranges are checked by the settings.
    """
    kinds: dict[str, type[Any]] = {field.name: type(field.default) for field in fields(TrainingSettings)}
    given: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in kinds:
            raise UsageError(f"unknown training setting {name!r}; known are {', '.join(kinds)}.")
        kind = kinds[name]
        try:
            given[name] = _TRUTH[value.lower()] if kind is bool else kind(value)
        except (ValueError, KeyError) as error:
            raise UsageError(
                f"the training setting {name} is {value!r}; give {_KINDS[kind]}, such as {name}={_example(name)}."
            ) from error
    return given


_TRUTH: Final = {"true": True, "false": False}
_KINDS: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "a name"}


def _example(name: str) -> str:
    return str(TrainingSettings.__dataclass_fields__[name].default).lower()
