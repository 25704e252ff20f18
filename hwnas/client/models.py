"""Response models: one class for each schema of the OpenAPI document (``/openapi.json``)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, Literal

from hwnas.client.decoding import WHOLE

JobState = Literal["queued", "running", "interrupted", "succeeded", "failed", "cancelled"]
"""``interrupted``: a search of the command line whose process has ended; ``hwnas search resume`` continues it."""
Choice = bool | int | float | str
ACTIVE: Final = frozenset({"queued", "running"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device profile."""

    id: str
    fingerprint: str
    detected_at: datetime
    profile: Mapping[str, Any]
    spaces_with_front: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gene:
    """One gene and its ordered choices."""

    name: str
    part: Literal["architecture", "policy"]
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """A search space with the task that it was published with."""

    name: str
    task: Mapping[str, int]
    genes: tuple[Gene, ...]
    size_log10: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Supernet:
    """A trained supernet."""

    id: str
    url: str
    space: str
    task: Mapping[str, int]
    data: str
    data_fingerprint: str
    data_set: str | None
    """Address of the uploaded data set that it was trained on."""
    metrics: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """An uploaded data set."""

    id: str
    url: str
    name: str
    state: Literal["uploading", "ready", "refused"]
    data: str
    """What trainings name it by, once it is ready."""
    size_bytes: int
    offset_bytes: int
    """How many bytes are there."""
    sha256: str
    task: Mapping[str, int] | None
    classes: tuple[str, ...] | None
    images_train: int | None
    images_test: int | None
    data_fingerprint: str | None
    error: str | None
    """Why it was refused."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The state of a job."""

    id: str
    state: JobState
    url: str
    device: str | None
    request: Mapping[str, Any]
    batch: str | None
    """Address of the batch that it is a member of."""
    trace_id: str | None
    """Trace (W3C Trace Context) of the request that started it."""
    host: str | None
    """Host whose worker runs it; None if any can."""
    priority: int
    queue_position: int | None
    """1 for the job that runs next; None unless it is queued."""
    worker: str | None
    """Worker that runs it now, as host:pid."""
    heartbeat_at: datetime | None
    """When a worker last gave a sign of life."""
    phase: str | None
    """What the worker does now, or did last."""
    progress: Mapping[str, Any] | None
    """Of the phase: ``done`` of ``total`` steps, ``figures``, ``seconds_left``, and the last ``messages``."""
    total_progress: float
    """Fraction of the whole job that is done."""
    evaluations: int
    """Real evaluations done; of a calibration, networks measured by it."""
    evaluations_failed: int
    evaluations_noisy: int
    """Measurements by this job that were kept although they were noisy."""
    cancel_requested: bool
    result: Mapping[str, Any] | None
    error: JobError | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def has_ended(self) -> bool:
        """Whether the job has ended."""
        return self.state not in ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Search(Job):
    """The state of a search."""

    kind: ClassVar[str] = "search"
    front: str | None
    """Address of the search's front, once it has one; ``client.fronts.get`` takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration(Job):
    """The state of a calibration; its ``result`` has the ``latency_predictor`` and its expected error."""

    kind: ClassVar[str] = "calibration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(Job):
    """The state of a training; its ``result`` has the ``supernet`` and what it reached."""

    kind: ClassVar[str] = "training"
    epochs: int
    epochs_done: float
    supernet: str | None
    """Address of the supernet, once it is trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The state of a batch."""

    kind: ClassVar[str] = "batch"
    id: str
    name: str | None
    url: str
    state: JobState
    """``queued`` until a member starts, ``running`` until all have ended."""
    counts: Mapping[str, int]
    """Members in each state."""
    total_progress: float
    members: tuple[Search | Calibration, ...]
    """In the order of the request."""
    created_at: datetime
    finished_at: datetime | None

    @property
    def has_ended(self) -> bool:
        """Whether all members have ended."""
        return self.state not in ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """One change of a job."""

    number: int
    """From 1, without gaps."""
    kind: str
    """``state`` or ``progress``."""
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A latency in milliseconds."""

    measured: float | None
    predicted: float | None
    """By a predictor that had not seen this network's verification."""
    interval_90: tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAccuracy:
    """The accuracy to expect on new images."""

    expected: float
    interval_90: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMember:
    """A network of a front. Accuracies are fractions."""

    candidate: str
    """Id of the candidate, a SHA-256."""
    summary: str
    precision: str
    size_bytes: int
    latency_p50_ms: Latency
    latency_p95_ms: Latency
    accuracy_val: float
    accuracy_test: float | None
    artifacts: Mapping[str, str]
    """Paths by kind; ``client.artifacts.download_member`` takes the member."""
    accuracy: ExpectedAccuracy | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    quality: str | None = None
    """``noisy`` where a measurement failed its own quality check."""
    float_units: tuple[str, ...] = ()
    """Units that the device computes in float in spite of their precision."""
    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False, metadata={WHOLE: True})
    """As it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """A Pareto front, ``hwnas.front/1``."""

    schema: str
    device: str
    space: str
    data: str
    seed: int
    evaluations: int
    members: tuple[FrontMember, ...]
    baselines: Mapping[str, FrontMember | tuple[FrontMember, ...] | None]
    supernet: str | None = None
    fingerprint: str | None = None
    method: str | None = None
    objectives: tuple[str, ...] | None = None
    limits: Mapping[str, float] | None = None
    budget: Mapping[str, int] | None = None
    merged: tuple[str, ...] | None = None
    """Ids of the fronts that were merged, if several were."""
    document: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False, metadata={WHOLE: True})
    """As it came, for a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontInfo:
    """A stored front without its members."""

    id: str
    url: str
    search: str
    """Address of the search that found it."""
    device: str
    space: str
    supernet: str
    etag: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The best network within limits."""

    device: str
    space: str
    data: str
    supernet: str | None
    fingerprint: str | None
    limits: Mapping[str, float]
    front: str
    """Address of the front that it is from."""
    member: FrontMember


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """An accuracy with a supernet's weights."""

    supernet: str
    part: Literal["float", "val", "test"]
    accuracy: float
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A latency on a device, or the reason why the measurement failed."""

    device: str
    fingerprint: str
    measured_at: datetime
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    quality: str | None
    failure: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file of a candidate."""

    kind: str
    """``onnx``, ``weights``, ``manifest``, or the kind of a runtime's own files, such as ``tvm``."""
    sha256: str
    size_bytes: int
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateInfo:
    """A candidate without what is known about it."""

    id: str
    url: str
    space: str
    canonical: str
    summary: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A candidate with everything known about it."""

    id: str
    space: str
    task: Mapping[str, int]
    canonical: str
    summary: str
    genotype: tuple[int, ...]
    architecture: Mapping[str, Choice]
    policy: Mapping[str, Choice]
    evaluations: tuple[Evaluation, ...]
    measurements: tuple[Measurement, ...]
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """An immutable revision of a predictor."""

    id: str
    kind: Literal["latency", "accuracy"]
    device: str | None
    space: str
    supernet: str | None
    schema_version: str
    data_sha256: str
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any] | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One candidate's prediction."""

    candidate: str
    arch: str
    predicted: float
    interval_90: tuple[float, float]
    outside: bool
    """Whether the candidate is outside the range of the training samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Predictions in the order of the request."""

    predictor: str
    device: str | None
    space: str
    quantity: Literal["latency_p50_ms", "accuracy_val"]
    """Milliseconds, or a fraction."""
    predictions: tuple[Prediction, ...]
