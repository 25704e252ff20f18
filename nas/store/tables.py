"""The database's tables; only ``nas.store`` and ``nas.jobs`` use rows, other packages use domain types.

What must always hold is written here, as constraints: a program with a defect meets
them too. Latencies and sizes are finite (``< 1e300`` also refuses PostgreSQL's NaN).
"""

from datetime import datetime
from typing import Final

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from nas.store.schema import Base, Big, Json, Name, Number, Prose, Sha256

_JOB_STATES: Final = "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')"


def _latencies(p50: str, p95: str) -> str:
    return f"{p50} > 0 AND {p95} >= {p50} AND {p95} < 1e300"


class DeviceProfileRow(Base):
    """The last detection of a profile."""

    __tablename__ = "device_profiles"

    id: Mapped[Name] = mapped_column(primary_key=True)
    fingerprint: Mapped[Sha256]
    profile: Mapped[Json]
    detected_at: Mapped[datetime]

    __table_args__ = (CheckConstraint("length(fingerprint) = 64", name="fingerprint_sha256"),)


class SupernetRow(Base):
    """A trained supernet; the id is the SHA-256 of its weights."""

    __tablename__ = "supernets"

    id: Mapped[Sha256] = mapped_column(primary_key=True)
    space: Mapped[Name]
    task: Mapped[Json]
    data_name: Mapped[Prose]
    data_fingerprint: Mapped[Sha256]
    folder: Mapped[Prose]
    metrics: Mapped[Json]
    data_set_id: Mapped[str | None] = mapped_column(ForeignKey("data_sets.id"))
    shared: Mapped[bool] = mapped_column(server_default=true())
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("length(id) = 64", name="id_sha256"),
        Index(None, "space", "created_at"),
    )


class SupernetOwnerRow(Base):
    """A tenant who trained a supernet; one that is shared is visible to the others, too."""

    __tablename__ = "supernet_owners"

    supernet_id: Mapped[Sha256] = mapped_column(ForeignKey("supernets.id"), primary_key=True)
    tenant: Mapped[Name] = mapped_column(primary_key=True)


class CandidateRow(Base):
    """A candidate; the id is the SHA-256 of its canonical JSON."""

    __tablename__ = "candidates"

    id: Mapped[Sha256] = mapped_column(primary_key=True)
    space: Mapped[Name]
    canonical: Mapped[Prose]
    genotype: Mapped[list[int]]
    candidate: Mapped[Json]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("length(id) = 64", name="id_sha256"),
        Index(None, "space"),
    )


class EvaluationRow(Base):
    """The accuracy of one candidate under one supernet on one part of the data, as one software version counts it."""

    __tablename__ = "evaluations"

    supernet_id: Mapped[Sha256] = mapped_column(ForeignKey("supernets.id"), primary_key=True)
    candidate_id: Mapped[Sha256] = mapped_column(ForeignKey("candidates.id"), primary_key=True)
    part: Mapped[str] = mapped_column(String(8), primary_key=True)
    runtime_version: Mapped[str] = mapped_column(String(100), primary_key=True)
    accuracy: Mapped[float]
    images: Mapped[int]
    evaluated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("part IN ('float', 'val', 'test')", name="part"),
        CheckConstraint("accuracy >= 0 AND accuracy <= 1", name="accuracy_fraction"),
        CheckConstraint("images > 0", name="images_positive"),
        Index(None, "candidate_id"),
    )


class MeasurementRow(Base):
    """One measurement or one failure of one candidate under one profile; never changed."""

    __tablename__ = "measurements"

    number: Mapped[Number]
    candidate_id: Mapped[Sha256] = mapped_column(ForeignKey("candidates.id"))
    supernet_id: Mapped[Sha256 | None] = mapped_column(ForeignKey("supernets.id"))
    profile_id: Mapped[Name] = mapped_column(ForeignKey("device_profiles.id"))
    fingerprint: Mapped[Sha256]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    outcome: Mapped[Json]
    latency_p50_ms: Mapped[float | None]
    latency_p95_ms: Mapped[float | None]
    quality: Mapped[str | None] = mapped_column(String(16))
    failure_stage: Mapped[str | None] = mapped_column(String(16))
    failure_message: Mapped[Prose | None]
    measured_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("length(fingerprint) = 64", name="fingerprint_sha256"),
        CheckConstraint(_latencies("latency_p50_ms", "latency_p95_ms"), name="latencies"),
        CheckConstraint(
            "(latency_p50_ms IS NOT NULL AND latency_p95_ms IS NOT NULL AND quality IS NOT NULL"
            " AND failure_stage IS NULL AND failure_message IS NULL)"
            " OR (latency_p50_ms IS NULL AND latency_p95_ms IS NULL AND quality IS NULL"
            " AND failure_stage IS NOT NULL AND failure_message IS NOT NULL)",
            name="measured_or_failed",
        ),
        Index(None, "profile_id", "fingerprint", "candidate_id"),
        Index(None, "candidate_id"),
        Index(None, "job_id"),
        Index(None, "api_key_id", "measured_at"),
    )


class AnchorReferenceRow(Base):
    """The anchor's latency that all readings of a device are scaled to; never changed."""

    __tablename__ = "anchor_references"

    profile_id: Mapped[Name] = mapped_column(ForeignKey("device_profiles.id"), primary_key=True)
    fingerprint: Mapped[Sha256] = mapped_column(primary_key=True)
    anchor_id: Mapped[Sha256] = mapped_column(ForeignKey("candidates.id"), primary_key=True)
    latency_ms: Mapped[float]
    measured_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("length(fingerprint) = 64", name="fingerprint_sha256"),
        CheckConstraint("latency_ms > 0 AND latency_ms < 1e300", name="latency"),
    )


class DeviceDriftRow(Base):
    """A drift that was found: measurements up to ``last_measurement`` no longer count."""

    __tablename__ = "device_drifts"

    number: Mapped[Number]
    profile_id: Mapped[Name] = mapped_column(ForeignKey("device_profiles.id"))
    fingerprint: Mapped[Sha256]
    last_measurement: Mapped[Big]
    checked: Mapped[int]
    change_pct: Mapped[float]
    allowed_pct: Mapped[float]
    found_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("length(fingerprint) = 64", name="fingerprint_sha256"),
        CheckConstraint("last_measurement > 0 AND checked > 0", name="counts"),
        Index(None, "profile_id", "fingerprint"),
    )


class ArtifactRow(Base):
    """A content-addressed file; the path is relative to the home's artifacts."""

    __tablename__ = "artifacts"

    sha256: Mapped[Sha256] = mapped_column(primary_key=True)
    size_bytes: Mapped[Big]
    path: Mapped[Prose] = mapped_column(unique=True)
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("length(sha256) = 64", name="sha256"),
        CheckConstraint("size_bytes >= 0", name="size"),
    )


class ArtifactUseRow(Base):
    """What a file is to a candidate: fp32 and int8 candidates may share their weights' bytes."""

    __tablename__ = "artifact_uses"

    candidate_id: Mapped[Sha256] = mapped_column(ForeignKey("candidates.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    sha256: Mapped[Sha256] = mapped_column(ForeignKey("artifacts.sha256"), primary_key=True)

    __table_args__ = (
        CheckConstraint("length(kind) BETWEEN 1 AND 16 AND kind = lower(kind)", name="kind"),
        Index(None, "sha256"),
    )


class PredictorRow(Base):
    """An immutable revision of a latency or accuracy predictor."""

    __tablename__ = "predictors"

    id: Mapped[Sha256] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    profile_id: Mapped[Name | None] = mapped_column(ForeignKey("device_profiles.id"))
    space: Mapped[Name]
    supernet_id: Mapped[Sha256 | None] = mapped_column(ForeignKey("supernets.id"))
    data_sha256: Mapped[Sha256]
    schema_version: Mapped[str] = mapped_column(String(64))
    metrics: Mapped[Json]
    folder: Mapped[Prose]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("kind IN ('latency', 'accuracy')", name="kind"),
        CheckConstraint("(kind = 'latency') = (profile_id IS NOT NULL)", name="latency_has_profile"),
        CheckConstraint("length(data_sha256) = 64", name="data_sha256"),
        Index(None, "kind", "space", "profile_id", "supernet_id", "created_at"),
    )


class JobRow(Base):
    """A piece of work with its state, lease and fence."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32))
    request: Mapped[Json]
    host: Mapped[Name | None]
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    tenant: Mapped[Name | None]
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    batch_id: Mapped[str | None] = mapped_column(ForeignKey("batches.id"))
    trace_id: Mapped[str | None] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16))
    lease_until: Mapped[datetime | None]
    fence: Mapped[Big]
    worker: Mapped[Name | None]
    attempts: Mapped[int]
    max_attempts: Mapped[int]
    cancel_requested: Mapped[bool]
    heartbeat_at: Mapped[datetime | None]
    events: Mapped[Big] = mapped_column(server_default=text("0"))
    progress: Mapped[Json | None]
    error: Mapped[Json | None]
    result: Mapped[Json | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("kind IN ('search', 'calibration', 'training')", name="kind"),
        CheckConstraint(_JOB_STATES, name="state"),
        CheckConstraint(
            "(state = 'running') = (lease_until IS NOT NULL) AND (state = 'running') = (worker IS NOT NULL)",
            name="running_is_leased",
        ),
        CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)", name="ended_has_time"
        ),
        CheckConstraint("fence >= 0 AND attempts >= 0 AND max_attempts > 0", name="counts"),
        CheckConstraint("priority BETWEEN -100 AND 100", name="priority"),
        Index(None, "state", "created_at"),
        Index(None, "batch_id"),
        Index(None, "api_key_id"),
    )


class SearchRow(Base):
    """One search, in the service (with a job, which holds the lease) or from the command line (with its own)."""

    __tablename__ = "searches"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), unique=True)
    profile_id: Mapped[Name] = mapped_column(ForeignKey("device_profiles.id"))
    supernet_id: Mapped[Sha256] = mapped_column(ForeignKey("supernets.id"))
    space: Mapped[Name]
    settings: Mapped[Json]
    state: Mapped[str] = mapped_column(String(16))
    seed: Mapped[Big]
    evaluations: Mapped[int]
    owner: Mapped[Name | None]
    lease_until: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("state IN ('running', 'succeeded', 'failed', 'cancelled')", name="state"),
        CheckConstraint("evaluations >= 0", name="evaluations"),
        Index(None, "profile_id", "space"),
    )


class GenerationRow(Base):
    """A search's generation; its trials were written in the same transaction."""

    __tablename__ = "search_generations"

    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id"), primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    evaluations: Mapped[int]
    notes: Mapped[Json]
    created_at: Mapped[datetime]

    __table_args__ = (CheckConstraint("generation >= 0 AND evaluations >= 0", name="counts"),)


class TrialRow(Base):
    """One trial of one generation, enough to rebuild Optuna's own."""

    __tablename__ = "search_trials"

    search_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    genotype: Mapped[list[int]]
    candidate_id: Mapped[Sha256 | None] = mapped_column(ForeignKey("candidates.id"))
    state: Mapped[str] = mapped_column(String(16))
    values: Mapped[list[float] | None]
    system_attrs: Mapped[Json]

    __table_args__ = (
        ForeignKeyConstraint(
            ["search_id", "generation"], ["search_generations.search_id", "search_generations.generation"]
        ),
        CheckConstraint("state IN ('complete', 'failed')", name="state"),
        CheckConstraint("position >= 0", name="position"),
        Index(None, "candidate_id"),
    )


class FrontRow(Base):
    """A front as the bytes that are sent."""

    __tablename__ = "fronts"

    id: Mapped[Sha256] = mapped_column(primary_key=True)
    search_id: Mapped[str] = mapped_column(ForeignKey("searches.id"))
    profile_id: Mapped[Name] = mapped_column(ForeignKey("device_profiles.id"))
    space: Mapped[Name]
    supernet_id: Mapped[Sha256] = mapped_column(ForeignKey("supernets.id"))
    body: Mapped[bytes] = mapped_column(LargeBinary)
    etag: Mapped[Sha256]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("length(etag) = 64", name="etag_sha256"),
        UniqueConstraint("search_id", "etag"),
        Index(None, "profile_id", "space", "created_at"),
    )


class FrontMemberRow(Base):
    """What limits are compared with; ``position`` is the member's place in the body."""

    __tablename__ = "front_members"

    front_id: Mapped[Sha256] = mapped_column(ForeignKey("fronts.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    candidate_id: Mapped[Sha256] = mapped_column(ForeignKey("candidates.id"))
    measured: Mapped[bool]
    latency_p50_ms: Mapped[float]
    latency_p95_ms: Mapped[float]
    size_bytes: Mapped[Big]
    accuracy_val: Mapped[float]
    accuracy_test: Mapped[float | None]
    accuracy_expected: Mapped[float | None]
    metrics: Mapped[Json] = mapped_column(server_default=text("'{}'"))

    __table_args__ = (
        CheckConstraint(_latencies("latency_p50_ms", "latency_p95_ms"), name="latencies"),
        CheckConstraint("size_bytes > 0", name="size"),
        CheckConstraint("accuracy_val >= 0 AND accuracy_val <= 1", name="accuracy_val"),
        CheckConstraint("accuracy_test >= 0 AND accuracy_test <= 1", name="accuracy_test"),
        CheckConstraint("accuracy_expected >= 0 AND accuracy_expected <= 1", name="accuracy_expected"),
        UniqueConstraint("front_id", "candidate_id"),
        Index(None, "candidate_id"),
    )
