"""Response bodies for jobs: searches, calibrations and batches."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.wire import PageOut, PageQuery, plain_number
from nas.jobs.requests import DeviceName, SpaceName

JobStateName = Literal["queued", "running", "succeeded", "failed", "cancelled"]
SearchStateName = Literal["queued", "running", "interrupted", "succeeded", "failed", "cancelled"]
MAX_WAIT_S = 60


class WaitQuery(BaseModel):
    """Query of one job."""

    model_config = ConfigDict(extra="forbid")

    wait: Annotated[float, Field(ge=0, le=MAX_WAIT_S, allow_inf_nan=False)] = Field(
        0.0, description="Seconds to wait for the end, at most; the answer comes as soon as the job has ended."
    )

    _check_numbers = field_validator("wait", mode="before")(plain_number)


class JobErrorOut(BaseModel):
    """Why a job failed."""

    code: str
    message: str


class JobOut(BaseModel):
    """The state of a job."""

    id: str
    state: SearchStateName = Field(
        description="`interrupted`: a search of the command line whose process has ended; it can be resumed."
    )
    url: str
    device: str | None
    request: dict[str, Any]
    batch: str | None = Field(description="Address of the batch that it is a member of.")
    trace_id: str | None = Field(description="Trace (W3C Trace Context) of the request that started it.")
    host: str | None = Field(
        description="Host whose worker runs it, since the device is there; null if any worker can."
    )
    priority: int = Field(description="Jobs with a higher priority run first.")
    queue_position: int | None = Field(
        description="1 for the job that runs next on its host; null unless it is queued."
    )
    worker: str | None = Field(description="Worker that runs it now, as host:pid.")
    heartbeat_at: datetime | None = Field(description="When a worker last gave a sign of life.")
    phase: str | None = Field(description="What the worker does now, or did last.")
    progress: dict[str, Any] | None = Field(
        description="Of the phase: `done` of `total` steps, `figures`, `seconds_left`, and the last `messages`."
    )
    total_progress: float = Field(ge=0, le=1, description="Fraction of the whole job that is done.")
    evaluations: int = Field(description="Real evaluations done; of a calibration, networks measured by it.")
    evaluations_failed: int = Field(description="Of these, those that failed.")
    evaluations_noisy: int = Field(description="Measurements by this job that were kept although they were noisy.")
    cancel_requested: bool = Field(description="Whether a running job has been asked to stop.")
    result: dict[str, Any] | None
    error: JobErrorOut | None
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class SearchOut(JobOut):
    """The state of a search."""

    kind: Literal["search"] = "search"
    front: str | None = Field(description="Address of the search's front, once it has one.")


class CalibrationOut(JobOut):
    """The state of a calibration; its `result` has the `latency_predictor` and its expected error."""

    kind: Literal["calibration"] = "calibration"


class TrainingOut(JobOut):
    """The state of a training; its `result` has the `supernet`, its `metrics` and how far they can be trusted."""

    kind: Literal["training"] = "training"
    epochs: int = Field(description="How many are asked for.")
    epochs_done: float
    supernet: str | None = Field(description="Address of the supernet, once it is trained.")


class TrainingsQuery(PageQuery):
    """Query of the trainings."""

    state: JobStateName | None = Field(None, description="Only trainings in this state.")
    space: SpaceName | None = Field(None, description="Only trainings in this search space.")


class TrainingsOut(PageOut):
    """A page of trainings, newest first."""

    trainings: list[TrainingOut]


class SearchesQuery(PageQuery):
    """Query of the searches."""

    state: SearchStateName | None = Field(None, description="Only searches in this state.")
    device: DeviceName | None = Field(None, description="Only searches on this device.")
    space: SpaceName | None = Field(None, description="Only searches in this search space.")


class SearchesOut(PageOut):
    """A page of searches, newest first."""

    searches: list[SearchOut]


class CalibrationsQuery(PageQuery):
    """Query of the calibrations."""

    state: JobStateName | None = Field(None, description="Only calibrations in this state.")
    device: DeviceName | None = Field(None, description="Only calibrations of this device.")
    space: SpaceName | None = Field(None, description="Only calibrations in this search space.")


class CalibrationsOut(PageOut):
    """A page of calibrations, newest first."""

    calibrations: list[CalibrationOut]


BatchMemberOut = Annotated[SearchOut | CalibrationOut, Field(discriminator="kind")]


class BatchOut(BaseModel):
    """The state of a batch."""

    id: str
    name: str | None
    url: str
    state: JobStateName = Field(
        description="`queued` until a member starts, `running` until all have ended; then `failed` or `cancelled` if"
        " a member is, else `succeeded`."
    )
    counts: dict[JobStateName, int] = Field(description="Members in each state.")
    total_progress: float = Field(ge=0, le=1, description="Mean of the members'.")
    members: list[BatchMemberOut] = Field(description="In the order of the request.")
    created_at: datetime
    finished_at: datetime | None


class BatchesOut(PageOut):
    """A page of batches, newest first."""

    batches: list[BatchOut]
