"""Quotas of API keys: limits on a key's jobs and uploads, checked in the transaction that accepts more."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from nas.store.api_keys import MAX_PRIORITY, KeyQuota
from nas.store.service_tables import ApiKeyRow, DataSetRow
from nas.store.tables import JobRow, MeasurementRow
from search_spaces.errors import NasError

QUOTA_HOURS: Final = 24
_LATER_S: Final = 600
"""Retry-After if it is not known when a job will run or end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHolder:
    """The API key that a request was sent with."""

    key_id: str | None
    quota: KeyQuota


NO_KEY: Final = KeyHolder(key_id=None, quota=KeyQuota(max_priority=MAX_PRIORITY))
"""Where no key is required."""


class QuotaExceededError(NasError):
    """The key's quota is used up for now."""

    code: ClassVar[str] = "quota-exceeded"

    def __init__(self, message: str, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class BeyondQuotaError(NasError):
    """The request exceeds the key's whole quota."""

    code: ClassVar[str] = "beyond-quota"


class _Asked(Protocol):
    @property
    def request(self) -> Mapping[str, Any]: ...

    @property
    def priority(self) -> int: ...


def planned_measurements(request: Mapping[str, Any]) -> int:
    """Networks that a job of this request measures at most, before verification."""
    evaluations: int = request.get("evaluations", 0) * (2 if request.get("random_baseline") else 1)
    # With a supernet, a calibration evaluates a designed set as large as its budget as well.
    budget: int = request.get("budget", 0) * (2 if request.get("supernet") else 1)
    return evaluations + budget


def require_quota(session: Session, holder: KeyHolder, jobs: Sequence[_Asked], now: datetime) -> None:
    """Makes sure that a key may add these jobs.

    Raises:
        QuotaExceededError: if it may later.
        BeyondQuotaError: if it never may, as their number, measurements or priority exceed the quota by themselves.
    """
    quota = holder.quota
    highest = max(job.priority for job in jobs)
    if highest > quota.max_priority:
        raise BeyondQuotaError(
            f"priority {highest} is more than {quota.max_priority}, the highest that this key allows."
        )
    if holder.key_id is None:
        return
    _lock_key(session, holder.key_id)
    if quota.max_queued is not None:
        _require_places(session, holder.key_id, quota.max_queued, len(jobs))
    if quota.max_measurements_per_day is not None:
        asked = sum(planned_measurements(job.request) for job in jobs)
        _require_measurements(session, holder.key_id, quota.max_measurements_per_day, asked, now)


def require_upload_quota(session: Session, holder: KeyHolder) -> None:
    """Makes sure that a key may begin an upload, which takes the place of a job that waits until it is finished.

    Raises:
        QuotaExceededError: if it may later.
    """
    if holder.key_id is None or holder.quota.max_queued is None:
        return
    _lock_key(session, holder.key_id)
    _require_places(session, holder.key_id, holder.quota.max_queued, 1)


def _lock_key(session: Session, key_id: str) -> None:
    """Until the end of the transaction, so that requests of one key are counted one after another."""
    session.get(ApiKeyRow, key_id, with_for_update=True)


def _require_places(session: Session, key_id: str, allowed: int, asked: int) -> None:
    if asked > allowed:
        raise BeyondQuotaError(f"{asked} jobs are more than the {allowed} that may wait for this key; send fewer.")
    jobs = select(func.count()).where(JobRow.api_key_id == key_id, JobRow.state == "queued")
    uploads = select(func.count()).where(DataSetRow.api_key_id == key_id, DataSetRow.state == "uploading")
    queued, uploading = session.scalar(jobs) or 0, session.scalar(uploads) or 0
    if queued + uploading + asked > allowed:
        raise QuotaExceededError(
            f"{queued} jobs of this key are waiting and {uploading} of its uploads are unfinished; {asked} more would"
            f" exceed its quota of {allowed}. Try again when some have run, or cancel jobs and delete uploads.",
            _LATER_S,
        )


def _require_measurements(session: Session, key_id: str, allowed: int, asked: int, now: datetime) -> None:
    if asked > allowed:
        raise BeyondQuotaError(
            f"{asked} measurements are more than the {allowed} that this key may take in {QUOTA_HOURS} hours; give"
            " smaller budgets."
        )
    since = now - timedelta(hours=QUOTA_HOURS)
    of_key = (MeasurementRow.api_key_id == key_id, MeasurementRow.measured_at > since)
    measured = session.scalar(select(func.count()).select_from(MeasurementRow).where(*of_key)) or 0
    outstanding = _outstanding(session, key_id)
    excess = measured + outstanding + asked - allowed
    if excess <= 0:
        return
    query = select(MeasurementRow.measured_at).where(*of_key).order_by(MeasurementRow.measured_at)
    # As soon as the excess lies more than a day back; outstanding measurements have yet to be taken.
    freeing = session.scalars(query.offset(excess - 1).limit(1)).first()
    retry_after_s = _LATER_S if freeing is None else math.ceil((freeing - since).total_seconds())
    raise QuotaExceededError(
        f"this key may take {allowed} measurements in {QUOTA_HOURS} hours: {measured} were taken, its unfinished jobs"
        f" may take {outstanding} more, and {asked} are asked for; try again later, or give smaller budgets.",
        max(1, retry_after_s),
    )


def _outstanding(session: Session, key_id: str) -> int:
    """What the unfinished jobs of a key may still measure."""
    unfinished = select(JobRow.id, JobRow.request).where(
        JobRow.api_key_id == key_id, JobRow.state.in_(("queued", "running"))
    )
    planned = {job_id: planned_measurements(request) for job_id, request in session.execute(unfinished)}
    taken_query = (
        select(MeasurementRow.job_id, func.count())
        .where(MeasurementRow.job_id.in_(planned))
        .group_by(MeasurementRow.job_id)
    )
    taken: dict[str | None, int] = {row[0]: row[1] for row in session.execute(taken_query)}
    return sum(max(0, count - taken.get(job_id, 0)) for job_id, count in planned.items())
