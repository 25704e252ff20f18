"""Real evaluations: prepared, measured on the device, written to the store as each ends.

What the store holds already is not done again: an accuracy belongs to (supernet,
candidate), a latency to (candidate, device fingerprint). So every command that
evaluates can be interrupted at any moment and run again.
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import ClassVar, Final, Protocol, Self

from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile
from nas.candidates.preparation import PreparationFailure, Prepared
from nas.candidates.preparation_pool import PreparationPool
from nas.progress import Progress
from nas.search.outcome import Outcome
from nas.store.evaluations import Evaluation
from nas.store.leases import Lease
from nas.store.store import Store
from search_spaces.errors import NasError
from search_spaces.space import IntArray, SearchSpace

_LASTING_FAILURES: Final = frozenset({"compile", "check"})
"""Failures of the candidate itself; a crash, a timeout or a failed run is tried again."""


class AnchorError(NasError):
    """The network that drift is seen by cannot be prepared."""

    code: ClassVar[str] = "no-anchor"


class Measuring(Protocol):
    """What the evaluator needs of :class:`hw_profiles.measuring.MeasuringSession`."""

    def measure(self, files: NetworkFiles) -> Measurement | MeasurementFailure:
        """Compiles, checks and times one network."""
        ...

    def close(self) -> None:
        """Ends the worker process."""
        ...


class RealEvaluator:
    """Evaluates candidates of one supernet on one device profile. A context manager.

    The measuring session starts with the first candidate that needs it; its anchor is
    the space's largest network in fp32.
    """

    def __init__(
        self,
        space: SearchSpace,
        store: Store,
        pool: PreparationPool,
        profile: DeviceProfile,
        supernet_id: str,
        *,
        open_session: Callable[[NetworkFiles], Measuring],
        progress: Progress,
        lease: Lease | None = None,
    ) -> None:
        self._space = space
        self._store = store
        self._pool = pool
        self._profile = profile
        self._supernet_id = supernet_id
        self._open_session = open_session
        self._progress = progress
        self._lease = lease
        self._session: Measuring | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the measuring session."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def evaluate(self, genotypes: IntArray) -> Sequence[Outcome]:
        """See :class:`nas.search.outcome.Evaluator`."""
        ids = self._store.candidates.put(self._space, genotypes)
        accuracies = self._store.evaluations.of(self._supernet_id, "val")
        latencies = known_latencies(self._store, self._profile)
        outcomes: dict[str, Outcome] = {}
        for candidate_id in ids:
            accuracy, latency = accuracies.get(candidate_id), latencies.get(candidate_id)
            if isinstance(latency, MeasurementFailure):
                outcomes[candidate_id] = Outcome(candidate_id=candidate_id, failure=latency.message)
            elif accuracy is not None and latency is not None:
                outcomes[candidate_id] = _outcome(latency, accuracy.accuracy)
        missing = [row for row, candidate_id in enumerate(ids) if candidate_id not in outcomes]
        self._evaluate_missing([genotypes[row] for row in missing], latencies, outcomes)
        return [outcomes[candidate_id] for candidate_id in ids]

    def _evaluate_missing(
        self,
        genotypes: Sequence[IntArray],
        latencies: dict[str, Measurement | MeasurementFailure],
        outcomes: dict[str, Outcome],
    ) -> None:
        total = len(genotypes)
        prepared_by_row = self._pool.prepare(
            genotypes, lambda row, _outcome: self._progress.update("preparing candidates", row + 1, total)
        )
        for row, prepared in enumerate(prepared_by_row, start=1):
            if isinstance(prepared, PreparationFailure):
                self._progress.say(f"candidate {prepared.candidate_id[:12]} left out: {prepared.message}")
                outcomes[prepared.candidate_id] = Outcome(candidate_id=prepared.candidate_id, failure=prepared.message)
                continue
            latency = latencies.get(prepared.candidate_id) or self._measure(prepared)
            self._write_accuracy(prepared)
            if isinstance(latency, MeasurementFailure):
                self._progress.say(
                    f"candidate {prepared.candidate_id[:12]} left out ({latency.stage}): {latency.message}"
                )
                outcomes[prepared.candidate_id] = Outcome(candidate_id=prepared.candidate_id, failure=latency.message)
                continue
            outcomes[prepared.candidate_id] = _outcome(latency, prepared.accuracy_val)
            self._progress.update(
                f"measuring on {self._profile.id}",
                row,
                total,
                {"last": f"{latency.latency_p50_ms:.3f} ms, {prepared.accuracy_val:.1%}"},
            )

    def _measure(self, prepared: Prepared) -> Measurement | MeasurementFailure:
        if self._session is None:
            self._session = self._open_session(self._anchor())
        outcome = self._session.measure(prepared.network_files)
        self._store.measurements.add(outcome, supernet_id=self._supernet_id, lease=self._lease)
        return outcome

    def _anchor(self) -> NetworkFiles:
        (prepared,) = self._pool.prepare([self._space.largest()])
        if isinstance(prepared, PreparationFailure):
            raise AnchorError(f"the anchor network, the largest in fp32, could not be prepared: {prepared.message}")
        return prepared.network_files

    def _write_accuracy(self, prepared: Prepared) -> None:
        self._store.evaluations.put(
            [
                Evaluation(
                    supernet_id=self._supernet_id,
                    candidate_id=prepared.candidate_id,
                    part="val",
                    accuracy=prepared.accuracy_val,
                    images=prepared.images_val,
                )
            ]
        )


def known_latencies(store: Store, profile: DeviceProfile) -> dict[str, Measurement | MeasurementFailure]:
    """The newest usable outcome of each candidate on this very device; passing failures are left out."""
    known: dict[str, Measurement | MeasurementFailure] = {}
    for stored in store.measurements.of(profile.id, fingerprint=profile.fingerprint):
        outcome = stored.outcome
        if isinstance(outcome, Measurement):
            known[outcome.candidate_id] = outcome
        elif outcome.stage in _LASTING_FAILURES:
            known.setdefault(outcome.candidate_id, outcome)
    return known


def _outcome(latency: Measurement, accuracy_val: float) -> Outcome:
    return Outcome(
        candidate_id=latency.candidate_id,
        accuracy_val=accuracy_val,
        latency_p50_ms=latency.latency_p50_ms,
        latency_p95_ms=latency.latency_p95_ms,
        size_bytes=latency.size_bytes,
    )
