"""Tables of the service alone: batches, events of jobs, idempotency keys, API keys, uploads, the audit trail."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from nas.store.schema import Base, Big, Json, Name, Number, Prose, Sha256


class BatchRow(Base):
    """Jobs that were accepted together."""

    __tablename__ = "batches"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[Name | None]
    name: Mapped[Name | None]
    created_at: Mapped[datetime]


class JobEventRow(Base):
    """One change of a job, written in the same transaction as the change."""

    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    data: Mapped[Json]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("number > 0", name="number"),
        CheckConstraint("kind IN ('state', 'progress')", name="kind"),
    )


class IdempotencyKeyRow(Base):
    """A request that changed something, under the key that its client chose; the tenant is empty without API keys."""

    __tablename__ = "idempotency_keys"

    tenant: Mapped[Name] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    request_sha256: Mapped[Sha256]
    resource_id: Mapped[str] = mapped_column(String(64))
    answer: Mapped[Json | None]
    created_at: Mapped[datetime]

    __table_args__ = (CheckConstraint("length(request_sha256) = 64", name="request_sha256"),)


class ApiKeyRow(Base):
    """A key by the hash of its secret; the secret itself is shown once and never stored."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[Name]
    tenant: Mapped[Name]
    scopes: Mapped[Name]
    max_queued: Mapped[int | None]
    max_measurements_per_day: Mapped[int | None]
    max_priority: Mapped[int] = mapped_column(server_default=text("0"))
    secret_sha256: Mapped[Sha256] = mapped_column(unique=True)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("length(secret_sha256) = 64", name="secret_sha256"),
        CheckConstraint("length(tenant) > 0", name="tenant"),
        CheckConstraint("max_queued > 0", name="max_queued"),
        CheckConstraint("max_measurements_per_day > 0", name="max_measurements_per_day"),
        CheckConstraint("max_priority BETWEEN -100 AND 100", name="max_priority"),
    )


class DataSetRow(Base):
    """A data set that is being uploaded or was; its bytes are in the home."""

    __tablename__ = "data_sets"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[Name | None]
    api_key_id: Mapped[str | None] = mapped_column(ForeignKey("api_keys.id"))
    name: Mapped[Name]
    size_bytes: Mapped[Big]
    sha256: Mapped[Sha256]
    state: Mapped[str] = mapped_column(String(16))
    contents: Mapped[Json | None]
    error: Mapped[Prose | None]
    created_at: Mapped[datetime]

    __table_args__ = (
        CheckConstraint("size_bytes > 0", name="size_bytes"),
        CheckConstraint("length(sha256) = 64", name="sha256"),
        CheckConstraint("state IN ('uploading', 'ready', 'refused')", name="state"),
        CheckConstraint("(state = 'ready') = (contents IS NOT NULL)", name="ready_has_contents"),
        CheckConstraint("(state = 'refused') = (error IS NOT NULL)", name="refused_has_error"),
        Index(None, "sha256"),
        Index(None, "api_key_id"),
    )


class AuditEntryRow(Base):
    """One change and who made it; never changed."""

    __tablename__ = "audit_entries"

    number: Mapped[Number]
    made_at: Mapped[datetime]
    actor: Mapped[Name]
    tenant: Mapped[Name | None]
    action: Mapped[Name]
    subject: Mapped[Prose]
    trace_id: Mapped[str | None] = mapped_column(String(32))

    __table_args__ = (Index(None, "made_at"), {"sqlite_autoincrement": True})
