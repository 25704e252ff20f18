"""What a client asks for: searches, calibrations, batches and trainings, as REST bodies and as batch files.

One model for both: a field that is added here can be asked for everywhere.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from hw_profiles.host import resolved_device_id
from nas.metrics import LIMIT_NAMES, MAX_OBJECTIVES, MIN_OBJECTIVES, Constraints
from nas.search.budget import (
    DEFAULT_EVALUATIONS,
    DEFAULT_SCREEN,
    DEFAULT_SURVEY,
    MIN_EVALUATIONS,
)
from nas.search.methods import Method
from nas.store.api_keys import MAX_PRIORITY
from nas.training.settings import Optimizer, parse_settings
from search_spaces.errors import UsageError

MAX_INTEGER = 2**63 - 1
"""The largest integer that every database holds."""
MAX_MEMBERS = 100
"""Searches and calibrations in one batch."""

DeviceName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+@,/-]*$", max_length=200), AfterValidator(resolved_device_id)
]
"""``local-cpu/…`` is a device of the host that reads the request."""
SpaceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", max_length=200)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
DurationLimit = Annotated[float, Field(gt=0, allow_inf_nan=False)]
BytesLimit = Annotated[int, Field(gt=0, le=MAX_INTEGER)]
SourceName = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=200)]
MetricName = Literal["accuracy", "latency_p50_ms", "latency_p95_ms", "size_bytes", "peak_memory_bytes", "load_time_ms"]
DEFAULT_OBJECTIVES: tuple[MetricName, ...] = ("latency_p50_ms", "accuracy")
PrecisionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
DataReference = Annotated[str, Field(pattern=r"^(fashion-mini|stored:[0-9a-f]{32})$", max_length=40)]
SettingName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Priority = Annotated[
    int,
    Field(
        ge=-MAX_PRIORITY,
        le=MAX_PRIORITY,
        description="Jobs with a higher priority run first; of equal ones, the oldest. An API key allows at most 0"
        " unless it was made for more.",
    ),
]
Seed = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class ClientRequest(BaseModel):
    """A JSON body with strict types: ``true`` and ``"5"`` are not numbers; 5.0 is an integer, as in JSON Schema."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _whole_number(cls, value: object) -> object:
        return int(value) if isinstance(value, float) and value.is_integer() else value


class LimitsIn(ClientRequest):
    """Limits that every returned network meets. A limit that is left out is no limit."""

    max_latency_p50_ms: Annotated[
        DurationLimit | None, Field(description="Maximum median latency, in milliseconds.")
    ] = None
    max_latency_p95_ms: Annotated[DurationLimit | None, Field(description="Maximum p95 latency, in milliseconds.")] = (
        None
    )
    max_size_bytes: Annotated[BytesLimit | None, Field(description="Maximum size of the deployed file, in bytes.")] = (
        None
    )
    max_peak_memory_bytes: Annotated[
        BytesLimit | None,
        Field(description="Maximum memory that loading and running the network adds to a process, in bytes."),
    ] = None
    max_load_time_ms: Annotated[
        DurationLimit | None,
        Field(description="Maximum time from the file to a network that is ready to run, in milliseconds."),
    ] = None
    min_accuracy: Annotated[
        float | None,
        Field(ge=0, le=1, allow_inf_nan=False, description="Minimum expected accuracy on new images, a fraction."),
    ] = None

    def constraints(self) -> Constraints:
        """The limits as constraints; an accuracy of at least 0 asks for nothing."""
        limits: dict[str, float | None] = {name: getattr(self, name) for name in LIMIT_NAMES}
        return Constraints.from_limits(limits | {"min_accuracy": self.min_accuracy or None})


_SEARCH: dict[str, Any] = {
    "device": "local-cpu/onnxruntime",
    "space": "mobilenet_v3:tiny",
    "limits": {"max_latency_p95_ms": 2.0},
    "evaluations": 38,
}
_CALIBRATION: dict[str, Any] = {"space": "mobilenet_v3:tiny", "budget": 20, "target_mape_pct": 5.0}


class SearchRequest(ClientRequest):
    """A search to run."""

    model_config = ConfigDict(json_schema_extra={"example": _SEARCH})

    device: DeviceName
    space: SpaceName
    supernet: Hash | None = Field(None, description="Default: the newest supernet of the space.")
    limits: LimitsIn = Field(default_factory=LimitsIn)
    objectives: Annotated[list[MetricName], Field(min_length=MIN_OBJECTIVES, max_length=MAX_OBJECTIVES)] = Field(
        default_factory=lambda: list(DEFAULT_OBJECTIVES),
        description="Two to four different metrics to optimize. Default: latency_p50_ms and accuracy.",
    )
    method: Method = Field(
        "hwnas",
        description="Search method; the others are baselines: the LINAS loop, Optuna's NSGA-II and TPE, random search,"
        " and two that choose float architectures with half of the budget and their precisions with the other half.",
    )
    evaluations: int = Field(
        DEFAULT_EVALUATIONS, ge=MIN_EVALUATIONS, le=100_000, description="Budget of real evaluations."
    )
    batch_size: int = Field(8, ge=1, le=1000, description="Candidates evaluated between two fits of the predictors.")
    precisions: Annotated[list[PrecisionName], Field(min_length=1, max_length=20)] | None = Field(
        None,
        description="Precisions that blocks may have, for example only int8. Default: those that the device's runtime"
        " executes natively.",
    )
    survey: int = Field(
        DEFAULT_SURVEY,
        ge=0,
        le=100_000,
        description="Networks whose accuracy in fp32 with inherited weights is looked up before the search.",
    )
    screen: int = Field(
        DEFAULT_SCREEN,
        ge=0,
        le=100_000,
        description="Architectures whose accuracy in fp32 with inherited weights is looked up before each batch.",
    )
    random_baseline: bool = Field(
        False, description="Whether the same budget is spent again on random candidates, for comparison."
    )
    finish_epochs: float | None = Field(
        None,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description=(
            "Epochs that the front's networks are fine-tuned for before they are verified; 0 for none, null for 40 %"
            " of the supernet's steps, but no more than 1,000 steps."
        ),
    )
    seed: Seed = 0
    priority: Priority = 0

    @field_validator("objectives")
    @classmethod
    def _check_objectives(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("names a metric twice; name each once")
        return names


class CalibrationRequest(ClientRequest):
    """A calibration of a device's latency predictor."""

    model_config = ConfigDict(json_schema_extra={"example": _CALIBRATION})

    space: SpaceName
    budget: int = Field(
        20,
        ge=5,
        le=10_000,
        description="Maximum number of measurements; at most 2,000, or all networks of a small space.",
    )
    target_mape_pct: float | None = Field(
        None, gt=0, le=100, allow_inf_nan=False, description="Stop early at this expected error, in percent."
    )
    sources: Annotated[list[SourceName], Field(max_length=1000)] | None = Field(
        None,
        description="Known devices to learn from, recorded or measured here, without the device itself. Default: all"
        " that are known in the space; empty: none.",
    )
    precisions: Literal["all", "fp32"] = Field("all", description="Precisions of the networks to measure.")
    seed: Seed = 0
    priority: Priority = 0
    supernet: Hash | None = Field(
        None,
        description="Supernet for which a designed set, as large as the budget, is evaluated as well and an accuracy "
        "predictor is fitted; its images and classes are used. Default: only the latency predictor, for the images "
        "and classes of the newest supernet of the space or, if there is none, of the published space.",
    )


class TrainingRequest(ClientRequest):
    """A supernet to train."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"data": "fashion-mini", "space": "mobilenet_v3:tiny", "epochs": 20}}
    )

    data: DataReference = Field(
        "fashion-mini", description="`fashion-mini` (embedded), or `stored:ID` of a data set that is ready."
    )
    space: SpaceName = Field("mobilenet_v3:tiny", description="The search space whose networks share weights.")
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        None,
        description="Passes over the training images. Default: 20, or with fewer than about 6,000 images as many as"
        " make 1,500 steps, at most 200.",
    )
    batch_size: Annotated[int, Field(ge=2, le=65_536)] | None = Field(None, description="Default: 64.")
    optimizer: Optimizer | None = Field(None, description="Default: sgd.")
    learning_rate: Annotated[float, Field(ge=1e-8, le=100, allow_inf_nan=False)] | None = Field(
        None, description="Peak learning rate. Default: the optimizer's own."
    )
    flip: bool | None = Field(
        None,
        description="Mirror training images at random, left to right. Default: true for fashion-mini; false for all"
        " other data, since mirrored digits or text mean something else.",
    )
    shift_px: Annotated[int, Field(ge=0, le=1024)] | None = Field(
        None, description="Pixels of reflected padding that random crops are taken from; 0 for none. Default: 2."
    )
    cutout_px: Annotated[int, Field(ge=0, le=1024)] | None = Field(
        None, description="Side in pixels of a random square cut out of each training image. Default: 0, none."
    )
    validation_fraction: Annotated[float, Field(ge=1e-6, le=1 - 1e-6, allow_inf_nan=False)] | None = Field(
        None, description="Share of the training images used for validation. Default: 0.2."
    )
    init: Hash | None = Field(None, description="Supernet of the same space to start from. Default: random weights.")
    settings: dict[SettingName, bool | int | float | str] = Field(
        default_factory=dict,
        max_length=40,
        description="Any other training setting by name, such as `ema_decay`, as `hwnas train --setting` takes them.",
    )
    seed: Seed = 0
    priority: Priority = 0

    def chosen(self) -> dict[str, Any]:
        """The training settings that are asked for, by name.

        Raises:
            UsageError: if ``settings`` has an unknown name, one that has a field of its own, or a wrong value.
        """
        own = self.model_dump(exclude={"data", "space", "settings", "priority"})
        for name in self.settings:
            if name in own:
                raise UsageError(f"{name} is a field of its own; give it outside of settings.")
        given = {name: value for name, value in own.items() if value is not None}
        return given | parse_settings([f"{name}={value}" for name, value in self.settings.items()])


class DeviceCalibrationRequest(CalibrationRequest):
    """A calibration in a batch."""

    model_config = ConfigDict(json_schema_extra={"example": _CALIBRATION | {"device": "local-cpu/tvm"}})

    device: DeviceName


class BatchRequest(ClientRequest):
    """Searches and calibrations to accept together: all or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "two seeds",
                "searches": [_SEARCH, _SEARCH | {"seed": 1}],
                "calibrations": [_CALIBRATION | {"device": "local-cpu/tvm"}],
            }
        }
    )

    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=200)] | None = Field(
        None, description="A name to recognize the batch by."
    )
    searches: Annotated[list[SearchRequest], Field(max_length=MAX_MEMBERS)] = Field(
        default_factory=list, description="Searches to run, in this order."
    )
    calibrations: Annotated[list[DeviceCalibrationRequest], Field(max_length=MAX_MEMBERS)] = Field(
        default_factory=list, description="Calibrations to run, after the searches; 100 members in all."
    )
