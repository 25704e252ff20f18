"""Measurements and failures: never changed, several per candidate."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from hw_profiles.measurement import Measurement, MeasurementFailure
from nas.store import leases
from nas.store.database import Clock, Database
from nas.store.leases import Lease
from nas.store.tables import CandidateRow, MeasurementRow

Outcome = Measurement | MeasurementFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMeasurement:
    """One outcome, in the order that outcomes were stored in."""

    number: int
    supernet_id: str | None
    outcome: Outcome


class Measurements:
    """Outcomes by profile, fingerprint and candidate."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, outcome: Outcome, *, supernet_id: str | None = None, lease: Lease | None = None) -> int:
        """Stores one outcome and returns its number; call it as each one ends, so that none is lost.

        Raises:
            LeaseLostError: if ``lease`` no longer holds; nothing is stored.
            StoreConflictError: for an unknown candidate, profile or supernet, or impossible latencies.
        """
        row = MeasurementRow(
            candidate_id=outcome.candidate_id,
            supernet_id=supernet_id,
            profile_id=outcome.profile_id,
            fingerprint=outcome.fingerprint,
            job_id=None if lease is None else lease.job_id,
            outcome=outcome.as_json(),
            measured_at=datetime.fromisoformat(outcome.measured_at),
        )
        if isinstance(outcome, Measurement):
            row.latency_p50_ms, row.latency_p95_ms = outcome.latency_p50_ms, outcome.latency_p95_ms
            row.quality = outcome.quality
        else:
            row.failure_stage, row.failure_message = outcome.stage, outcome.message
        with self._database.write() as session:
            if lease is not None:
                row.api_key_id = leases.held_row(session, lease).api_key_id
            session.add(row)
            session.flush()
            return row.number

    def of(
        self,
        profile_id: str,
        *,
        fingerprint: str | None = None,
        supernet_id: str | None = None,
        space: str | None = None,
        before: datetime | None = None,
    ) -> tuple[StoredMeasurement, ...]:
        """Outcomes under a profile, oldest first; only of one fingerprint, supernet or space if given.

        With ``before``, only those measured in an earlier second: their times are kept to the second, so that
        the same question has the same answer later.
        """
        query = select(MeasurementRow).where(MeasurementRow.profile_id == profile_id).order_by(MeasurementRow.number)
        if fingerprint is not None:
            query = query.where(MeasurementRow.fingerprint == fingerprint)
        if supernet_id is not None:
            query = query.where(MeasurementRow.supernet_id == supernet_id)
        if space is not None:
            query = query.join(CandidateRow).where(CandidateRow.space == space)
        if before is not None:
            query = query.where(MeasurementRow.measured_at < before.replace(microsecond=0))
        with self._database.read() as session:
            return tuple(_stored(row) for row in session.scalars(query))

    def last_fingerprint(self, profile_id: str) -> str | None:
        """What a device was when it was last measured; None if it never was."""
        query = select(MeasurementRow.fingerprint).where(MeasurementRow.profile_id == profile_id)
        with self._database.read() as session:
            return session.scalar(query.order_by(MeasurementRow.number.desc()).limit(1))

    def was_another_device(self, profile_id: str, fingerprint: str, since: datetime) -> bool:
        """Whether a device was measured under another fingerprint at or after a time."""
        query = select(MeasurementRow.number).where(
            MeasurementRow.profile_id == profile_id,
            MeasurementRow.fingerprint != fingerprint,
            MeasurementRow.measured_at >= since.replace(microsecond=0),
        )
        with self._database.read() as session:
            return session.scalars(query.limit(1)).first() is not None

    def last_number(self) -> int:
        """The number of the newest outcome; 0 if there is none."""
        with self._database.read() as session:
            return session.scalar(select(func.max(MeasurementRow.number))) or 0

    def of_candidate(self, candidate_id: str) -> tuple[StoredMeasurement, ...]:
        """Outcomes of one candidate under every profile, oldest first."""
        query = (
            select(MeasurementRow).where(MeasurementRow.candidate_id == candidate_id).order_by(MeasurementRow.number)
        )
        with self._database.read() as session:
            return tuple(_stored(row) for row in session.scalars(query))


def _stored(row: MeasurementRow) -> StoredMeasurement:
    kind = Measurement if row.failure_stage is None else MeasurementFailure
    return StoredMeasurement(number=row.number, supernet_id=row.supernet_id, outcome=kind.from_json(row.outcome))
