"""Reference latencies of the anchor on each device, which make measuring sessions comparable."""

from hw_profiles.profile import DeviceProfile
from nas.store import leases
from nas.store.database import Clock, Database, insert_missing
from nas.store.leases import Lease
from nas.store.schema import table_of
from nas.store.tables import AnchorReferenceRow


class AnchorReferences:
    """Reference latencies by profile, fingerprint and anchor network."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def find(self, profile: DeviceProfile, anchor_id: str) -> float | None:
        """The reference in milliseconds; None before the device's first session."""
        with self._database.read() as session:
            row = session.get(AnchorReferenceRow, (profile.id, profile.fingerprint, anchor_id))
            return None if row is None else row.latency_ms

    def keep(self, profile: DeviceProfile, anchor_id: str, latency_ms: float, *, lease: Lease | None = None) -> float:
        """Stores the reference unless there is one, and returns the one that holds.

        Raises:
            LeaseLostError: if ``lease`` no longer holds.
            StoreConflictError: for an unknown profile or candidate, or a latency that is not finite and positive.
        """
        row = {
            "profile_id": profile.id,
            "fingerprint": profile.fingerprint,
            "anchor_id": anchor_id,
            "latency_ms": latency_ms,
            "measured_at": self._clock(),
        }
        with self._database.write() as session:
            leases.require(session, lease)
            insert_missing(session, table_of(AnchorReferenceRow), [row])
            return session.get_one(AnchorReferenceRow, (profile.id, profile.fingerprint, anchor_id)).latency_ms
