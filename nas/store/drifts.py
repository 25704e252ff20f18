"""Detected drifts of devices, and the times from which measurements count."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from hw_profiles.profile import DeviceProfile
from nas.store import leases
from nas.store.database import Clock, Database
from nas.store.leases import Lease
from nas.store.tables import DeviceDriftRow


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDrift:
    """One drift of one device."""

    last_measurement: int
    """The number of the last measurement that no longer counts."""
    checked: int
    """Networks measured again."""
    change_pct: float
    """Median change of their latency in percent, with its sign."""
    allowed_pct: float
    """The change that the device's repeatability explains."""
    found_at: datetime


class Drifts:
    """Drifts by profile and fingerprint."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(
        self,
        profile: DeviceProfile,
        *,
        last_measurement: int,
        checked: int,
        change_pct: float,
        allowed_pct: float,
        lease: Lease | None = None,
    ) -> None:
        """Stores a drift: the device's measurements up to ``last_measurement`` no longer count.

        Raises:
            LeaseLostError: if ``lease`` no longer holds.
            StoreConflictError: for an unknown profile.
        """
        with self._database.write() as session:
            leases.require(session, lease)
            session.add(
                DeviceDriftRow(
                    profile_id=profile.id,
                    fingerprint=profile.fingerprint,
                    last_measurement=last_measurement,
                    checked=checked,
                    change_pct=change_pct,
                    allowed_pct=allowed_pct,
                    found_at=self._clock(),
                )
            )

    def latest(self, profile_id: str, fingerprint: str, *, before: datetime | None = None) -> StoredDrift | None:
        """The device's last drift, or the last one found ``before`` a time; None if it never drifted."""
        query = select(DeviceDriftRow).where(
            DeviceDriftRow.profile_id == profile_id, DeviceDriftRow.fingerprint == fingerprint
        )
        if before is not None:
            query = query.where(DeviceDriftRow.found_at < before)
        query = query.order_by(DeviceDriftRow.last_measurement.desc(), DeviceDriftRow.number.desc()).limit(1)
        with self._database.read() as session:
            row = session.scalars(query).first()
            return None if row is None else _stored(row)


def _stored(row: DeviceDriftRow) -> StoredDrift:
    return StoredDrift(
        last_measurement=row.last_measurement,
        checked=row.checked,
        change_pct=row.change_pct,
        allowed_pct=row.allowed_pct,
        found_at=row.found_at,
    )
