"""What was measured of a space on one of the devices here.

Latency belongs to (candidate, device fingerprint), whoever asked for it: searches,
designed sets and calibrations share their measurements. Where a device was found to have
drifted, what was measured before does not count any more.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.profile import DeviceProfile
from nas.home import Home, write_bytes
from nas.measuring.evaluator import LASTING_FAILURES
from nas.store.store import Store
from search_spaces.errors import NasError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

_DRIFT_FILE: Final = "drifted.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceSamples:
    """Measured candidates of one space on one device; arrays of shape ``(n, genes)`` and ``(n,)``."""

    candidate_ids: tuple[str, ...]
    genotypes: IntArray
    latency_ms: FloatArray
    """The median over a candidate's measurements of their median invocation."""
    repeatability: float
    """Median relative standard deviation of the measurements; 0 where there are none."""
    failed: frozenset[str]
    """Candidates that do not compile or compute something else: measuring them again would say the same."""

    def __len__(self) -> int:
        return len(self.candidate_ids)

    def by_id(self) -> dict[str, float]:
        """Milliseconds by candidate."""
        return dict(zip(self.candidate_ids, self.latency_ms.tolist(), strict=True))


def device_folder(home: Home, profile: DeviceProfile) -> Path:
    """Where calibrations of a device, as it is now, keep their files."""
    return home.calibrations / profile.id.replace("/", "-") / profile.fingerprint[:16]


def samples_of(home: Home, store: Store, profile: DeviceProfile, space: SearchSpace) -> DeviceSamples:
    """All that counts of a device and space, in the order of first measurement."""
    after = drifted_at(home, profile)
    found: dict[str, list[Measurement]] = defaultdict(list)
    failed: set[str] = set()
    for stored in store.measurements.of(profile.id, fingerprint=profile.fingerprint, space=space.name):
        outcome = stored.outcome
        if isinstance(outcome, MeasurementFailure):
            failed |= {outcome.candidate_id} if outcome.stage in LASTING_FAILURES else set()
        elif stored.number > after:
            found[outcome.candidate_id].append(outcome)
    candidates = [
        stored
        for stored in store.candidates.get_many(tuple(found))
        if dict(stored.candidate.task) == space.task.as_json()
    ]
    measured = [found[candidate.id] for candidate in candidates]
    genotypes = np.array([candidate.genotype for candidate in candidates], dtype=np.int64)
    spreads = [one.repeatability for group in measured for one in group]
    return DeviceSamples(
        candidate_ids=tuple(candidate.id for candidate in candidates),
        genotypes=genotypes.reshape(len(candidates), len(space.genes)),
        latency_ms=np.array([float(np.median([one.latency_p50_ms for one in group])) for group in measured]),
        repeatability=float(np.median(spreads)) if spreads else 0.0,
        failed=frozenset(failed - found.keys()),
    )


def drifted_at(home: Home, profile: DeviceProfile) -> int:
    """The number of the last measurement before the device was found to have drifted; 0 where it was not.

    Raises:
        NasError: where the note is damaged.
    """
    path = device_folder(home, profile) / _DRIFT_FILE
    if not path.exists():
        return 0
    try:
        return int(json.loads(path.read_text("utf-8"))["last_measurement"])
    except (ValueError, KeyError, TypeError) as error:
        raise NasError(f"{path} is damaged; delete it, and the next calibration looks for drift again.") from error


def note_drift(home: Home, profile: DeviceProfile, last_measurement: int) -> None:
    """From now on, measurements of the device up to this number do not count."""
    note = json.dumps({"last_measurement": last_measurement})
    write_bytes(device_folder(home, profile) / _DRIFT_FILE, note.encode())
