"""Job submission: all or none in one transaction, once per idempotency key, within the queue limit."""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from nas.jobs.events import record_state
from nas.jobs.queue import DEFAULT_MAX_ATTEMPTS, JobKind, job_address
from nas.jobs.quotas import NO_KEY, KeyHolder, require_quota
from nas.store import Store
from nas.store.audit import Change, record_change
from nas.store.database import insert_missing
from nas.store.schema import table_of
from nas.store.service_tables import BatchRow, IdempotencyKeyRow
from nas.store.tables import JobRow
from search_spaces.errors import NasError

DEFAULT_MAX_QUEUED: Final = 1000
IDEMPOTENCY_HOURS: Final = 24
_RETRY_AFTER_S: Final = 60


class QueueFullError(NasError):
    """The queue has reached its limit."""

    code: ClassVar[str] = "queue-full"

    def __init__(self, queued: int, asked: int, bound: int) -> None:
        self.retry_after_s = _RETRY_AFTER_S
        super().__init__(
            f"{queued} jobs are waiting, and {asked} more would exceed the limit of {bound};"
            " try again when some have run, or cancel some."
        )


class IdempotencyConflictError(NasError):
    """The idempotency key was used for another request."""

    code: ClassVar[str] = "idempotency-key-reused"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the idempotency key {key!r} was used for another request in the last {IDEMPOTENCY_HOURS} hours;"
            " use a new key for a new request."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to accept; its request has been checked."""

    kind: JobKind
    request: Mapping[str, Any]
    host: str | None = None
    """Host whose worker must run it; None for any."""
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """A batch to accept with its jobs."""

    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request came from."""

    tenant: str | None = None
    idempotency_key: str | None = None
    fingerprint: str = ""
    """SHA-256 of what was asked; required with a key."""
    trace_id: str | None = None
    """Of the trace that the request belongs to."""
    change: Change | None = None
    """Recorded with what is accepted."""
    holder: KeyHolder = NO_KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The jobs of a request, or of an earlier request with the same key."""

    resource_id: str
    """Of the batch, or of the job where there is no batch."""
    replayed: bool
    answer: Mapping[str, Any] | None
    """The answer to the earlier request, where it was kept."""


class Submissions:
    """Accepts jobs into the queue of one store."""

    def __init__(self, store: Store, *, max_queued: int = DEFAULT_MAX_QUEUED) -> None:
        self._database = store.database
        self._clock = store.clock
        self._max_queued = max_queued

    def submit(self, jobs: Sequence[NewJob], origin: Origin, *, batch: NewBatch | None = None) -> Accepted:
        """Queues the jobs in order, all or none; without a batch there is one job.

        Raises:
            QueueFullError: if more jobs would wait than may.
            QuotaExceededError: if the request's key may take no more at the moment.
            BeyondQuotaError: if its key never allows so much.
            IdempotencyConflictError: if the key was used for another request.
        """
        now = self._clock()
        resource_id = uuid.uuid4().hex
        with self._database.write() as session:
            if origin.idempotency_key is not None:
                earlier = self._earlier(session, origin, resource_id, now)
                if earlier is not None:
                    return earlier
            require_quota(session, origin.holder, jobs, now)
            self._require_room(session, len(jobs))
            if batch is not None:
                session.add(BatchRow(id=resource_id, tenant=origin.tenant, name=batch.name, created_at=now))
                session.flush()
            for number, job in enumerate(jobs):
                row = JobRow(
                    # Members are claimed in the order of their ids, as they have one time.
                    id=resource_id if batch is None else f"{resource_id}-{number:03d}",
                    kind=job.kind,
                    request=dict(job.request),
                    host=job.host,
                    priority=job.priority,
                    tenant=origin.tenant,
                    api_key_id=origin.holder.key_id,
                    batch_id=None if batch is None else resource_id,
                    trace_id=origin.trace_id,
                    state="queued",
                    fence=0,
                    attempts=0,
                    max_attempts=DEFAULT_MAX_ATTEMPTS,
                    cancel_requested=False,
                    created_at=now,
                )
                session.add(row)
                record_state(session, row, now)
            address = job_address(jobs[0].kind, resource_id) if batch is None else f"/v1/batches/{resource_id}"
            record_change(session, origin.change, now, subject=address)
        return Accepted(resource_id=resource_id, replayed=False, answer=None)

    def keep_answer(self, origin: Origin, answer: Mapping[str, Any]) -> None:
        """Keeps the answer for later requests with the same key."""
        if origin.idempotency_key is None:
            return
        with self._database.write() as session:
            row = session.get(IdempotencyKeyRow, (origin.tenant or "", origin.idempotency_key))
            if row is not None:
                row.answer = dict(answer)

    def _earlier(self, session: Session, origin: Origin, resource_id: str, now: datetime) -> Accepted | None:
        """What an earlier request with this key made; or None, and the key is kept for this one."""
        outdated = IdempotencyKeyRow.created_at <= now - timedelta(hours=IDEMPOTENCY_HOURS)
        session.execute(delete(IdempotencyKeyRow).where(outdated))
        row = {
            "tenant": origin.tenant or "",
            "key": origin.idempotency_key,
            "request_sha256": origin.fingerprint,
            "resource_id": resource_id,
            "created_at": now,
        }
        # Where two requests race, PostgreSQL lets the second wait here for the first.
        insert_missing(session, table_of(IdempotencyKeyRow), [row])
        stored = session.get_one(IdempotencyKeyRow, (row["tenant"], row["key"]))
        if stored.resource_id == resource_id:
            return None
        if stored.request_sha256 != origin.fingerprint:
            raise IdempotencyConflictError(stored.key)
        return Accepted(resource_id=stored.resource_id, replayed=True, answer=stored.answer)

    def _require_room(self, session: Session, asked: int) -> None:
        queued = session.scalar(select(func.count()).select_from(JobRow).where(JobRow.state == "queued")) or 0
        if queued + asked > self._max_queued:
            raise QueueFullError(queued, asked, self._max_queued)


def request_fingerprint(operation: str, request: Mapping[str, Any]) -> str:
    """SHA-256 of an operation and its JSON body, whatever the order of its keys."""
    text = json.dumps([operation, request], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
