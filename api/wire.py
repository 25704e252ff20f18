"""Request and response bodies of the service."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from nas.jobs.requests import ClientRequest, DeviceName, LimitsIn, SpaceName
from nas.metrics import LIMIT_NAMES

MAX_PREDICTIONS = 1000
"""Candidates per request."""
JobId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
CandidateText = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=1000)]
_NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def plain_number(value: object) -> object:
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

    _check_numbers = field_validator(*LIMIT_NAMES, mode="before")(plain_number)


class PredictRequest(ClientRequest):
    """Candidates to predict, all from the predictor's space."""

    model_config = ConfigDict(json_schema_extra={"example": {"candidates": ["a7c5a90a4405", "c4bfddb24f3c"]}})

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


class PageQuery(BaseModel):
    """Query of a list."""

    model_config = ConfigDict(extra="forbid")

    page_size: int = Field(50, ge=1, le=200, description="Maximum number of entries to return.")
    page_token: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=500)] | None = Field(
        None, description="`next_page_token` of the page before; the other parameters must be the same."
    )

    _check_numbers = field_validator("page_size", mode="before")(plain_number)


class PageOut(BaseModel):
    """A page of a list."""

    next_page_token: str | None = Field(
        description="Null on the last page; the Link header has the address of the next page, too."
    )


class FrontsQuery(PageQuery):
    """Query of the fronts."""

    device: DeviceName | None = Field(None, description="Only fronts of this device.")
    space: SpaceName | None = Field(None, description="Only fronts in this search space.")
    search: JobId | None = Field(None, description="Only fronts of this search.")


class FrontInfoOut(BaseModel):
    """A stored front without its members."""

    id: str
    url: str
    search: str
    """Address of the search that found it."""
    device: str
    space: str
    supernet: str
    etag: str
    """SHA-256 of the front's bytes."""
    created_at: datetime


class FrontsOut(PageOut):
    """A page of fronts, newest first."""

    fronts: list[FrontInfoOut]


class CandidatesQuery(PageQuery):
    """Query of the candidates."""

    space: SpaceName | None = Field(None, description="Only candidates of this search space.")


class CandidateInfoOut(BaseModel):
    """A candidate without what is known about it."""

    id: str
    url: str
    space: str
    canonical: str
    summary: str
    created_at: datetime


class CandidatesOut(PageOut):
    """A page of candidates, newest first."""

    candidates: list[CandidateInfoOut]


class PredictorsQuery(PageQuery):
    """Query of the predictors."""

    kind: Literal["latency", "accuracy"] | None = Field(None, description="Only predictors of this kind.")
    device: DeviceName | None = Field(None, description="Only latency predictors of this device.")
    space: SpaceName | None = Field(None, description="Only predictors for this search space.")


class PredictorsOut(PageOut):
    """A page of predictors, newest first."""

    predictors: list[PredictorOut]


class SupernetsQuery(PageQuery):
    """Query of the supernets."""

    space: SpaceName | None = Field(None, description="Only supernets of this search space.")
    data: Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$", max_length=200)] | None = Field(
        None, description="Only supernets that were trained on the data set of this name."
    )


class SupernetOut(BaseModel):
    """A trained supernet."""

    id: str
    url: str
    space: str
    task: dict[str, int]
    data: str
    data_fingerprint: str
    """SHA-256 of the data set's arrays."""
    data_set: str | None = Field(description="Address of the uploaded data set that it was trained on.")
    metrics: dict[str, Any]
    created_at: datetime


class SupernetsOut(PageOut):
    """A page of supernets, newest first."""

    supernets: list[SupernetOut]


class HealthOut(BaseModel):
    """An answer to a probe."""

    status: Literal["ok"] = "ok"
