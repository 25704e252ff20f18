"""Request models. Fields that are None are left out, so that the service's defaults apply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

Metric = Literal["accuracy", "latency_p50_ms", "latency_p95_ms", "size_bytes", "peak_memory_bytes", "load_time_ms"]
SearchMethod = Literal["hwnas", "linas", "nsga2", "tpe", "random", "architecture_then_policy", "integer_programming"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits that every returned network meets."""

    max_latency_p50_ms: float | None = None
    """Maximum median latency, in milliseconds."""
    max_latency_p95_ms: float | None = None
    """Maximum p95 latency, in milliseconds."""
    max_size_bytes: int | None = None
    """Maximum size of the deployed file."""
    max_peak_memory_bytes: int | None = None
    """Maximum memory that loading and running the network adds to a process."""
    max_load_time_ms: float | None = None
    """Maximum time from the file to a network that is ready to run, in milliseconds."""
    min_accuracy: float | None = None
    """Minimum expected accuracy on new images, a fraction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRequest:
    """A search to run."""

    device: str
    space: str
    supernet: str | None = None
    """Default: the newest supernet of the space."""
    limits: Limits | None = None
    objectives: Sequence[Metric] | None = None
    """Two to four different metrics. Default: ``latency_p50_ms`` and ``accuracy``."""
    method: SearchMethod | None = None
    """Default: ``hwnas``; the others are baselines."""
    precisions: Sequence[str] | None = None
    """Precisions that blocks may have. Default: those that the device's runtime executes natively."""
    evaluations: int | None = None
    """Budget of real evaluations. Default: 38."""
    batch_size: int | None = None
    """Candidates evaluated between two fits of the predictors. Default: 8."""
    survey: int | None = None
    """Networks whose accuracy in fp32 with inherited weights is looked up before the search. Default: 60."""
    screen: int | None = None
    """Architectures whose accuracy in fp32 with inherited weights is looked up before each batch. Default: 32."""
    random_baseline: bool | None = None
    """Whether the same budget is spent again on random candidates, for comparison. Default: no."""
    finish_epochs: float | None = None
    """Epochs that the front's networks are fine-tuned for before they are verified; 0 for none. Default: 40 % of
    the supernet's steps, at most 1,000 steps."""
    seed: int | None = None
    priority: int | None = None
    """Jobs with a higher one run first, -100 to 100. Default: 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRequest:
    """A calibration of a device's latency predictor."""

    device: str
    space: str
    budget: int | None = None
    """Maximum number of measurements. Default: 20."""
    target_mape_pct: float | None = None
    """Stop early at this expected error, in percent."""
    sources: Sequence[str] | None = None
    """Known devices to learn from. Default: all that are known in the space; empty: none."""
    precisions: Literal["all", "fp32"] | None = None
    """Default: ``all``."""
    seed: int | None = None
    priority: int | None = None
    """Jobs with a higher one run first, -100 to 100. Default: 0."""
    supernet: str | None = None
    """If given, an accuracy predictor is fitted for this supernet as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """A supernet to train."""

    data: str | None = None
    """``fashion-mini`` (the default), or ``data_set.data`` of an uploaded data set."""
    space: str | None = None
    """Default: ``mobilenet_v3:tiny``."""
    epochs: int | None = None
    """Passes over the training images. Default: 20, or with fewer than about
    6,000 images as many as make 1,500 steps, at most 200."""
    batch_size: int | None = None
    """Default: 64."""
    optimizer: Literal["sgd", "adamw", "muon"] | None = None
    learning_rate: float | None = None
    """Default: the optimizer's own."""
    flip: bool | None = None
    """Mirror training images at random. Default: only those of fashion-mini."""
    shift_px: int | None = None
    """Reflected padding that random crops are taken from. Default: 2."""
    cutout_px: int | None = None
    """Side of a random square cut out of each training image. Default: 0, none."""
    validation_fraction: float | None = None
    """Share of the training images used for validation. Default: 0.2."""
    init: str | None = None
    """Id of a supernet of the same space to start from."""
    settings: Mapping[str, bool | int | float | str] | None = None
    """Any other training setting by name, such as ``ema_decay``."""
    seed: int | None = None
    priority: int | None = None
    """Jobs with a higher one run first, -100 to 100. Default: 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """Up to 100 searches and calibrations, accepted together or not at all."""

    name: str | None = None
    """A name to recognize the batch by."""
    searches: Sequence[SearchRequest] = ()
    calibrations: Sequence[CalibrationRequest] = ()
    """Run after the searches."""


def as_json(value: object) -> Any:  # noqa: ANN401 - any JSON
    """A request as JSON, without its fields that are None."""
    if is_dataclass(value) and not isinstance(value, type):
        given = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: as_json(entry) for name, entry in given.items() if entry is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_json(entry) for entry in value]
    return value
