"""Device profiles as last detected."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from hw_profiles.profile import DeviceProfile
from nas.store.database import Clock, Database
from nas.store.errors import NotStoredError
from nas.store.tables import DeviceProfileRow


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDevice:
    """A profile and when it was detected."""

    profile: DeviceProfile
    detected_at: datetime


class Devices:
    """Profiles by id."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, profile: DeviceProfile) -> None:
        """Stores a detected profile in place of an earlier detection; measurements keep their own fingerprint."""
        with self._database.write() as session:
            session.merge(
                DeviceProfileRow(
                    id=profile.id,
                    fingerprint=profile.fingerprint,
                    profile=profile.as_json(),
                    detected_at=self._clock(),
                )
            )

    def find(self, profile_id: str) -> StoredDevice | None:
        """The profile, or None."""
        with self._database.read() as session:
            row = session.get(DeviceProfileRow, profile_id)
            return None if row is None else _stored(row)

    def get(self, profile_id: str) -> StoredDevice:
        """The profile.

        Raises:
            NotStoredError: if there is none with this id.
        """
        found = self.find(profile_id)
        if found is None:
            raise NotStoredError("device profile", profile_id)
        return found

    def all(self) -> tuple[StoredDevice, ...]:
        """Every profile, by id."""
        with self._database.read() as session:
            return tuple(
                _stored(row) for row in session.scalars(select(DeviceProfileRow).order_by(DeviceProfileRow.id))
            )


def _stored(row: DeviceProfileRow) -> StoredDevice:
    profile = DeviceProfile.from_json(row.profile, source=f"the stored profile {row.id}")
    return StoredDevice(profile=profile, detected_at=row.detected_at)
