"""All measurements of a space's networks on one device, for every part of hwnas.

Latency belongs to (candidate, device fingerprint). It does not depend on weights, so searches,
designed sets and calibrations share their measurements. When a device is found to have drifted,
its earlier measurements no longer count. Which artifact may ship is another question: that one
depends on the weights in it (:meth:`DeviceMeasurements.artifacts`).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from hw_profiles.measurement import Measurement, MeasurementFailure, Quality
from hw_profiles.profile import DeviceProfile
from nas.store.drifts import StoredDrift
from nas.store.measurements import StoredMeasurement
from nas.store.store import Store
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

_QUALITY_WEIGHTS: Final[Mapping[Quality, int]] = {"ok": 4, "noisy": 1}
"""A noisy reading counts for a quarter of a good one: its error is about twice as large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNetwork:
    """All counted measurements of one network on one device, oldest first; at least one."""

    candidate_id: str
    measurements: tuple[Measurement, ...]

    @property
    def latency_p50_ms(self) -> float:
        """Weighted median of the measurements' medians; noisy readings weigh less."""
        return self._weighted_median([one.latency_p50_ms for one in self.measurements])

    @property
    def latency_p95_ms(self) -> float:
        """Weighted median of the measurements' 95th percentiles."""
        return self._weighted_median([one.latency_p95_ms for one in self.measurements])

    @property
    def weight(self) -> float:
        """Number of good readings that the measurements are worth; a single noisy one is worth 0.25."""
        return sum(self._weights()) / _QUALITY_WEIGHTS["ok"]

    @property
    def quality(self) -> Quality:
        """``noisy`` if no reading passed its own quality check."""
        return "ok" if any(one.quality == "ok" for one in self.measurements) else "noisy"

    def metrics(self) -> dict[str, float]:
        """Values by metric name (:data:`nas.metrics.METRICS`); without those that no measurement has.

        The size is the newest artifact's: with other weights an integer graph differs by some bytes.
        """
        memory = [one.peak_memory_bytes for one in self.measurements if one.peak_memory_bytes is not None]
        load_ms = [one.load_time_ms for one in self.measurements if one.load_time_ms is not None]
        values = {
            "latency_p50_ms": self.latency_p50_ms,
            "latency_p95_ms": self.latency_p95_ms,
            "size_bytes": float(self.measurements[-1].size_bytes),
        }
        if memory:
            values["peak_memory_bytes"] = float(np.median(memory))
        if load_ms:
            values["load_time_ms"] = float(np.median(load_ms))
        return values

    def _weights(self) -> list[int]:
        return [_QUALITY_WEIGHTS[one.quality] for one in self.measurements]

    def _weighted_median(self, values: Sequence[float]) -> float:
        return weighted_median(np.array(values), np.array(self._weights()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceSamples:
    """Measured candidates of one space on one device; arrays of shape ``(n, genes)`` and ``(n,)``."""

    candidate_ids: tuple[str, ...]
    genotypes: IntArray
    latency_ms: FloatArray
    """Median invocation (p50): the weighted median over a candidate's measurements."""
    latency_p95_ms: FloatArray
    weights: FloatArray
    """Number of good readings behind each latency: what a weighted fit takes as sample weights."""
    repeatability: float
    """Median relative standard deviation of the measurements; 0 if there are none."""
    failed: frozenset[str]
    """Candidates that fail whenever they are measured with random weights, and were never measured."""

    def __len__(self) -> int:
        return len(self.candidate_ids)

    def by_id(self) -> dict[str, float]:
        """Milliseconds by candidate."""
        return dict(zip(self.candidate_ids, self.latency_ms.tolist(), strict=True))

    def without(self, genotypes: IntArray) -> tuple[IntArray, FloatArray, FloatArray]:
        """Genotypes ``(k, genes)``, milliseconds and weights ``(k,)`` of the samples not among ``genotypes``."""
        seen = {row.tobytes() for row in genotypes}
        kept = np.array([row.tobytes() not in seen for row in self.genotypes], dtype=np.bool_)
        return self.genotypes[kept], self.latency_ms[kept], self.weights[kept]


class DeviceMeasurements:
    """All valid measurements of one space's networks, for one task, on one device in its present state.

    Reads the store on every call. ``before`` freezes the answer: only what was measured, and found to have
    drifted, before that time counts.
    """

    def __init__(
        self, store: Store, profile: DeviceProfile, space: SearchSpace, *, before: datetime | None = None
    ) -> None:
        self.profile = profile
        self.space = space
        self._store = store
        self._before = before

    def networks(self) -> dict[str, MeasuredNetwork]:
        """Measured networks by candidate id, in the order of their first counted measurement."""
        counts_after = self._counts_after()
        found: dict[str, list[Measurement]] = defaultdict(list)
        for stored in self._outcomes():
            if isinstance(stored.outcome, Measurement) and stored.number > counts_after:
                found[stored.outcome.candidate_id].append(stored.outcome)
        of_task = self._genotypes(tuple(found))
        return {
            candidate_id: MeasuredNetwork(candidate_id=candidate_id, measurements=tuple(found[candidate_id]))
            for candidate_id in of_task
        }

    def samples(self) -> DeviceSamples:
        """Everything measured, as arrays to fit to; in the order of first counted measurement."""
        networks = self.networks()
        genotypes = self._genotypes(tuple(networks))
        rows = np.array(list(genotypes.values()), dtype=np.int64)
        deviations = [one.repeatability for network in networks.values() for one in network.measurements]
        return DeviceSamples(
            candidate_ids=tuple(networks),
            genotypes=rows.reshape(len(networks), len(self.space.genes)),
            latency_ms=np.array([network.latency_p50_ms for network in networks.values()]),
            latency_p95_ms=np.array([network.latency_p95_ms for network in networks.values()]),
            weights=np.array([network.weight for network in networks.values()]),
            repeatability=float(np.median(deviations)) if deviations else 0.0,
            failed=frozenset(self.failures(None).keys() - networks.keys()),
        )

    def failures(self, supernet_id: str | None) -> dict[str, MeasurementFailure]:
        """Lasting failures by candidate; crashes, timeouts and failed runs are worth another try.

        A network that does not compile fails with any weights; a wrong output is a failure of the weights
        that it was compiled with: the supernet's, or random ones if ``supernet_id`` is None. A success with
        the same weights, or of a network that did not compile once, ends it.
        """
        failures: dict[str, MeasurementFailure] = {}
        compiled: set[str] = set()
        agreed: set[str] = set()
        for stored in self._outcomes():
            outcome, same_weights = stored.outcome, stored.supernet_id == supernet_id
            if isinstance(outcome, Measurement):
                compiled.add(outcome.candidate_id)
                agreed |= {outcome.candidate_id} if same_weights else set()
            elif outcome.stage == "compile" or (outcome.stage == "check" and same_weights):
                failures[outcome.candidate_id] = outcome
        return {
            candidate_id: failure
            for candidate_id, failure in failures.items()
            if candidate_id not in (compiled if failure.stage == "compile" else agreed)
        }

    def artifacts(self, supernet_id: str) -> dict[str, Measurement]:
        """The newest measurement of each candidate with this supernet's weights: its artifact may ship.

        Drift does not matter here: it changes latencies, not files.
        """
        return {
            stored.outcome.candidate_id: stored.outcome
            for stored in self._outcomes()
            if isinstance(stored.outcome, Measurement) and stored.supernet_id == supernet_id
        }

    def repeatability_of(self, genotypes: IntArray) -> float:
        """Median relative standard deviation of the first counted measurement of each network; 0 if there is none.

        Later measurements of the same networks do not change it, so that a resumed search fits with the same.

        Args:
            genotypes: canonical, shape ``(n, genes)``.
        """
        known = [one.repeatability for one in self._first(genotypes) if one is not None]
        return float(np.median(known)) if known else 0.0

    def weights_of(self, genotypes: IntArray) -> FloatArray:
        """How many good measurements the first counted one of each network is worth, shape ``(n,)``; 1 if unknown.

        As :meth:`repeatability_of`, later measurements do not change it.

        Args:
            genotypes: canonical, shape ``(n, genes)``.
        """
        qualities: list[Quality] = ["ok" if one is None else one.quality for one in self._first(genotypes)]
        return np.array([_QUALITY_WEIGHTS[one] for one in qualities]) / _QUALITY_WEIGHTS["ok"]

    def _first(self, genotypes: IntArray) -> list[Measurement | None]:
        """The first counted measurement of each network."""
        networks = self.networks()
        found = [networks.get(self.space.candidate(row).id) for row in genotypes]
        return [None if one is None else one.measurements[0] for one in found]

    def drift(self) -> StoredDrift | None:
        """The last drift that was found; measurements before it do not count."""
        return self._store.drifts.latest(self.profile.id, self.profile.fingerprint, before=self._before)

    def _counts_after(self) -> int:
        drift = self.drift()
        return 0 if drift is None else drift.last_measurement

    def _outcomes(self) -> tuple[StoredMeasurement, ...]:
        return self._store.measurements.of(
            self.profile.id, fingerprint=self.profile.fingerprint, space=self.space.name, before=self._before
        )

    def _genotypes(self, candidate_ids: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
        """Genotypes of those candidates that are of this task, in order."""
        task = self.space.task.as_json()
        stored = self._store.candidates.get_many(candidate_ids)
        return {one.id: one.genotype for one in stored if dict(one.candidate.task) == task}


def weighted_median(values: FloatArray, weights: IntArray) -> float:
    """The median of ``values`` ``(n,)``, n at least 1, each repeated as often as its positive integer weight says."""
    order = np.argsort(values, kind="stable")
    ordered, reached = values[order], np.cumsum(weights[order])
    total = int(reached[-1])
    low = ordered[np.searchsorted(reached, (total + 1) // 2)]
    high = ordered[np.searchsorted(reached, total // 2 + 1)]
    return float((low + high) / 2)


def has_changed_since(store: Store, profile: DeviceProfile, fingerprint: str | None, when: datetime) -> bool:
    """Whether what was measured on a device by then no longer describes it.

    Args:
        store: where drifts are kept.
        profile: the device as it is now.
        fingerprint: the device's fingerprint then; None if it is not known.
        when: a time in UTC.
    """
    if fingerprint is not None and fingerprint != profile.fingerprint:
        return True
    drift = store.drifts.latest(profile.id, profile.fingerprint)
    return drift is not None and drift.found_at > when
