"""Request and response bodies of the service."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from nas.metrics import LIMIT_NAMES, MAX_OBJECTIVES, MIN_OBJECTIVES, Constraints
from nas.search.budget import DEFAULT_EVALUATIONS, MIN_EVALUATIONS

MAX_INTEGER = 2**63 - 1
"""The largest integer that every database holds."""

DeviceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+@,/-]*$", max_length=200)]
SpaceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", max_length=200)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
DurationLimit = Annotated[float, Field(gt=0, allow_inf_nan=False)]
BytesLimit = Annotated[int, Field(gt=0, le=MAX_INTEGER)]
SourceName = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=200)]
MetricName = Literal["accuracy", "latency_p50_ms", "latency_p95_ms", "size_bytes", "peak_memory_bytes", "load_time_ms"]
DEFAULT_OBJECTIVES: tuple[MetricName, ...] = ("latency_p50_ms", "accuracy")
SearchMethod = Literal["hwnas", "linas", "nsga2", "tpe", "random"]
SearchStateName = Literal["queued", "running", "interrupted", "succeeded", "failed", "cancelled"]
MAX_PREDICTIONS = 1000
"""Candidates per request."""
CandidateText = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=1000)]
_NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
Seed = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class _Request(BaseModel):
    """A JSON body with strict types: ``true`` and ``"5"`` are not numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LimitsIn(_Request):
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


def _plain_number(value: object) -> object:
    """Refuses what Pydantic takes for numbers but nobody else does: ``1_0``, blanks around digits."""
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        raise ValueError("not a number; write digits, such as 12 or 0.5")
    return value


class ParetoQuery(LimitsIn):
    """Query of a device's verified networks; a query is text, so numbers are parsed from it."""

    model_config = ConfigDict(strict=False)

    space: SpaceName | None = Field(None, description="Search space; required if the device has fronts in several.")
    data: Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$", max_length=200)] | None = Field(
        None, description="Name of the data set that the supernet was trained on. Default: that of the supernet."
    )
    supernet: Annotated[str, Field(pattern=r"^[0-9a-f]{4,64}$")] | None = Field(
        None, description="First digits of a supernet's id, at least 4. Default: the newest one that has a front."
    )

    _check_numbers = field_validator(*LIMIT_NAMES, mode="before")(_plain_number)


class SearchRequest(_Request):
    """A search to run."""

    device: DeviceName
    space: SpaceName
    supernet: Hash | None = Field(None, description="Default: the newest supernet of the space.")
    limits: LimitsIn = Field(default_factory=LimitsIn)
    objectives: Annotated[list[MetricName], Field(min_length=MIN_OBJECTIVES, max_length=MAX_OBJECTIVES)] = Field(
        default_factory=lambda: list(DEFAULT_OBJECTIVES),
        description="Two to four different metrics to optimize. Default: latency_p50_ms and accuracy.",
    )
    method: SearchMethod = Field(
        "hwnas",
        description="Search method; the others are baselines: the LINAS loop, Optuna's NSGA-II and TPE, random search.",
    )
    evaluations: int = Field(
        DEFAULT_EVALUATIONS, ge=MIN_EVALUATIONS, le=100_000, description="Budget of real evaluations."
    )
    finish_epochs: float = Field(
        1.0,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description="Epochs that the front's networks are fine-tuned for before they are verified; 0 for none.",
    )
    seed: Seed = 0

    @field_validator("objectives")
    @classmethod
    def _check_objectives(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("names a metric twice; name each once")
        return names


class CalibrationRequest(_Request):
    """A calibration of a device's latency predictor."""

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
    supernet: Hash | None = Field(
        None,
        description="Supernet for which a designed set, as large as the budget, is evaluated as well and an accuracy "
        "predictor is fitted; its images and classes are used. Default: only the latency predictor, for the images "
        "and classes of the newest supernet of the space or, if there is none, of the published space.",
    )


class PredictRequest(_Request):
    """Candidates to predict, all from the predictor's space."""

    candidates: Annotated[list[CandidateText], Field(min_length=1, max_length=MAX_PREDICTIONS)] = Field(
        description="Canonical strings, or ids of stored candidates (first 6 digits at least)."
    )


class DeviceOut(BaseModel):
    """A device profile."""

    id: str
    fingerprint: str
    detected_at: datetime
    profile: dict[str, Any]
    spaces_with_front: list[str]


class DevicesOut(BaseModel):
    """Every known device profile."""

    devices: list[DeviceOut]


class GeneOut(BaseModel):
    """One gene and its ordered choices."""

    name: str
    part: Literal["architecture", "policy"]
    choices: list[bool | int | float | str]


class SearchSpaceOut(BaseModel):
    """A search space with the task that it was published with."""

    name: str
    task: dict[str, int]
    genes: list[GeneOut]
    size_log10: float


class SearchSpacesOut(BaseModel):
    """Every search space."""

    search_spaces: list[SearchSpaceOut]


class EvaluationOut(BaseModel):
    """An accuracy with a supernet's weights."""

    supernet: str
    part: Literal["float", "val", "test"]
    """Images and network: validation and test images on the graph that ships; float: validation images, unquantized."""
    accuracy: float
    images: int


class MeasurementOut(BaseModel):
    """A latency on a device, or the reason why the measurement failed."""

    device: str
    fingerprint: str
    measured_at: datetime
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    quality: str | None
    failure: str | None


class ArtifactOut(BaseModel):
    """A file of a candidate."""

    kind: str = Field(
        description="`onnx`, `weights`, `manifest`, or the kind of a runtime's own files, such as `tvm`.",
        examples=["onnx"],
    )
    sha256: str
    size_bytes: int
    url: str


class CandidateOut(BaseModel):
    """A candidate with everything known about it."""

    id: str
    space: str
    task: dict[str, int]
    canonical: str
    summary: str
    genotype: list[int]
    architecture: dict[str, bool | int | float | str]
    policy: dict[str, bool | int | float | str]
    evaluations: list[EvaluationOut]
    measurements: list[MeasurementOut]
    artifacts: list[ArtifactOut]


class JobErrorOut(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class JobOut(BaseModel):
    """The state of a job."""

    id: str
    kind: Literal["search", "calibration"]
    state: SearchStateName
    """``interrupted``: a search of the command line whose process has ended; it can be resumed."""
    url: str
    request: dict[str, Any]
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    error: JobErrorOut | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class SearchOut(JobOut):
    """The state of a search."""

    device: str | None
    evaluations: int
    """Real evaluations done."""
    cancel_requested: bool
    """Whether a running search has been asked to stop."""
    front: str | None
    """Address of the search's front, once it has one."""


class SearchesQuery(BaseModel):
    """Query of the searches."""

    model_config = ConfigDict(extra="forbid")

    state: SearchStateName | None = Field(None, description="Only searches in this state.")
    device: DeviceName | None = Field(None, description="Only searches on this device.")
    page_size: int = Field(50, ge=1, le=200, description="Maximum number of searches to return.")
    page_token: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=500)] | None = Field(
        None, description="`next_page_token` of the page before; the other parameters must be the same."
    )

    _check_numbers = field_validator("page_size", mode="before")(_plain_number)


class SearchesOut(BaseModel):
    """A page of searches, newest first."""

    searches: list[SearchOut]
    next_page_token: str | None
    """Absent on the last page; the Link header has the address of the next page, too."""


class RecommendationOut(BaseModel):
    """The best network within limits."""

    device: str
    space: str
    data: str
    supernet: str | None
    fingerprint: str | None
    """Of machine, compiler and runtime when it was measured."""
    limits: dict[str, float]
    front: str
    """Address of the front that it is from."""
    member: dict[str, Any]
    """The network, as a member of a front (`hwnas.front/1`); its artifacts' paths are relative to `/v1/`."""


class PredictorOut(BaseModel):
    """An immutable revision of a predictor."""

    id: str
    kind: Literal["latency", "accuracy"]
    device: str | None
    """For latency predictors only."""
    space: str
    supernet: str | None
    """The supernet that its evaluations came from, if any."""
    schema_version: str
    """Version of its features."""
    data_sha256: str
    """Hash of its training samples."""
    metrics: dict[str, Any]
    """On held-out samples, by cross-validation."""
    provenance: dict[str, Any] | None
    """Origin of its samples, for calibrations: request, device fingerprint, known devices, expected error."""
    created_at: datetime


class PredictionOut(BaseModel):
    """One candidate's prediction."""

    candidate: str
    arch: str
    predicted: float
    interval_90: tuple[float, float]
    outside: bool
    """Whether the candidate is outside the range of the training samples."""


class PredictionsOut(BaseModel):
    """Predictions in the order of the request."""

    predictor: str
    device: str | None
    space: str
    quantity: Literal["latency_p50_ms", "accuracy_val"]
    predictions: list[PredictionOut]


class HealthOut(BaseModel):
    """An answer to a probe."""

    status: Literal["ok"] = "ok"
