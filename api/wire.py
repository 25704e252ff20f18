"""What goes over the wire, apart from tables and domain objects."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nas.search.budget import DEFAULT_EVALUATIONS, MIN_EVALUATIONS

MAX_INTEGER = 2**63 - 1
"""The largest integer that every database holds."""

DeviceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+@/-]*$", max_length=200)]
SpaceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", max_length=200)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
LatencyLimit = Annotated[float, Field(gt=0, allow_inf_nan=False, description="Milliseconds.")]
SizeLimit = Annotated[int, Field(gt=0, le=MAX_INTEGER, description="Bytes of the deployed file.")]
AccuracyLimit = Annotated[
    float, Field(ge=0, le=1, allow_inf_nan=False, description="A fraction, compared with accuracy_val.")
]
SourceName = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=200)]
MAX_PREDICTIONS = 1000
"""Candidates a request."""
CandidateText = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=1000)]
Seed = Annotated[int, Field(ge=0, le=MAX_INTEGER)]


class _Request(BaseModel):
    """A JSON body: its types are the sender's own, so that ``true`` and ``"5"`` are no numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)


class LimitsIn(_Request):
    """Limits that every returned network satisfies; left out is unlimited."""

    max_latency_p95_ms: LatencyLimit | None = None
    max_size_bytes: SizeLimit | None = None
    min_accuracy: AccuracyLimit | None = None


class ParetoQuery(LimitsIn):
    """Query of a device's front; a query is text, so that its numbers are read from it."""

    model_config = ConfigDict(strict=False)

    space: SpaceName | None = Field(None, description="Needed where the device has fronts in several spaces.")


class SearchRequest(_Request):
    """What to search for."""

    device: DeviceName
    space: SpaceName
    supernet: Hash | None = Field(None, description="Default: the newest supernet of the space.")
    limits: LimitsIn = Field(default_factory=LimitsIn)
    evaluations: int = Field(
        DEFAULT_EVALUATIONS, ge=MIN_EVALUATIONS, le=100_000, description="Budget of real evaluations."
    )
    seed: Seed = 0


class CalibrationRequest(_Request):
    """How to calibrate a device's latency predictor."""

    space: SpaceName
    budget: int = Field(
        20,
        ge=5,
        le=10_000,
        description="Measurements at most; not above the networks to choose from: 2,000, or all of a small space.",
    )
    target_mape_pct: float | None = Field(
        None, gt=0, le=100, allow_inf_nan=False, description="Stop early at this expected error, in percent."
    )
    sources: Annotated[list[SourceName], Field(max_length=1000)] | None = Field(
        None,
        description="Known devices to learn from, recorded or measured here, not the device itself. Default: all that"
        " are known in the space; empty: none.",
    )
    precisions: Literal["all", "fp32"] = Field("all", description="Which networks are measured.")
    seed: Seed = 0
    supernet: Hash | None = Field(
        None,
        description="Also evaluates a designed set with this supernet, as large as the budget, and fits its accuracy "
        "predictor; its images and classes are meant. Default: the latency predictor alone, for the images and "
        "classes of the newest supernet of the space or, where there is none, those that it was published with.",
    )


class PredictRequest(_Request):
    """Candidates to predict, all of the predictor's space."""

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
    """A search space, bound to the task that it was published with."""

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
    """A latency on a device, or why there is none."""

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
    """A candidate and all that is known about it."""

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
    """A job's state."""

    id: str
    kind: Literal["search", "calibration"]
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
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
    """A search's state."""

    evaluations: int
    """Real evaluations done."""
    front: str | None
    """Address of the search's front, once it has one."""


class PredictorOut(BaseModel):
    """An immutable revision of a predictor."""

    id: str
    kind: Literal["latency", "accuracy"]
    device: str | None
    """Of a latency predictor."""
    space: str
    supernet: str | None
    """Whose evaluations it rests on, where it does."""
    schema_version: str
    """Of its features."""
    data_sha256: str
    """Hash of the samples that it was fitted to."""
    metrics: dict[str, Any]
    """On held-out samples, by cross-validation."""
    provenance: dict[str, Any] | None
    """Where its samples came from, for calibrations: request, device fingerprint, known devices, stated error."""
    created_at: datetime


class PredictionOut(BaseModel):
    """One candidate's prediction."""

    candidate: str
    arch: str
    predicted: float
    interval_90: tuple[float, float]
    outside: bool
    """Whether it lies outside what the predictor was trained on."""


class PredictionsOut(BaseModel):
    """Predictions in the order asked."""

    predictor: str
    device: str | None
    space: str
    quantity: Literal["latency_p50_ms", "accuracy_val"]
    predictions: list[PredictionOut]


class HealthOut(BaseModel):
    """An answer to a probe."""

    status: Literal["ok"] = "ok"
