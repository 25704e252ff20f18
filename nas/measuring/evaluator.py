"""Real evaluations: prepared, measured on the device, written to the store as each ends.

What the store holds already is not done again: an accuracy belongs to (supernet,
candidate), a latency to (candidate, device fingerprint). So every command that
evaluates can be interrupted at any moment and run again.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile
from nas.measuring.local_bench import LocalBench
from nas.measuring.preparation import PreparationFailure, Prepared
from nas.measuring.preparation_pool import PreparationPool
from nas.progress import Progress
from nas.search.outcome import Outcome
from nas.store.evaluations import Evaluation
from nas.store.leases import Lease
from nas.store.store import Store
from search_spaces.errors import NasError
from search_spaces.space import IntArray, SearchSpace

LASTING_FAILURES: Final = frozenset({"compile", "check"})
"""Failures of the candidate itself; a crash, a timeout or a failed run is tried again."""


class AnchorError(NasError):
    """The network that drift is seen by cannot be prepared."""

    code: ClassVar[str] = "no-anchor"


class RealEvaluator:
    """Evaluates candidates of one supernet on one device profile.

    Batches are prepared and compiled first, then timed on a quiet machine. The bench
    opens with the first candidate that needs it; its anchor is the space's largest
    network in fp32.
    """

    def __init__(
        self,
        space: SearchSpace,
        store: Store,
        pool: PreparationPool,
        bench: LocalBench,
        profile: DeviceProfile,
        supernet_id: str,
        *,
        progress: Progress,
        lease: Lease | None = None,
    ) -> None:
        self._space = space
        self._store = store
        self._pool = pool
        self._bench = bench
        self._profile = profile
        self._supernet_id = supernet_id
        self._progress = progress
        self._lease = lease

    def evaluate(self, genotypes: IntArray) -> Sequence[Outcome]:
        """See :class:`nas.search.outcome.Evaluator`."""
        ids = self._store.candidates.put(self._space, genotypes)
        accuracies = self._store.evaluations.of(self._supernet_id, "val")
        latencies = known_latencies(self._store, self._profile, supernet_id=self._supernet_id)
        outcomes: dict[str, Outcome] = {}
        for candidate_id in ids:
            accuracy, latency = accuracies.get(candidate_id), latencies.get(candidate_id)
            if isinstance(latency, MeasurementFailure):
                outcomes[candidate_id] = Outcome(candidate_id=candidate_id, failure=latency.message)
            elif accuracy is not None and latency is not None:
                outcomes[candidate_id] = _outcome(latency, accuracy)
        missing = [row for row, candidate_id in enumerate(ids) if candidate_id not in outcomes]
        self._evaluate_missing([genotypes[row] for row in missing], latencies, outcomes)
        return [outcomes[candidate_id] for candidate_id in ids]

    def measure_again(self, genotypes: Sequence[IntArray]) -> None:
        """Prepares, compiles and times candidates whatever is stored; figures and failures are stored."""
        self._measure([one for one in self._prepare(genotypes) if isinstance(one, Prepared)])

    def _evaluate_missing(
        self,
        genotypes: Sequence[IntArray],
        latencies: dict[str, Measurement | MeasurementFailure],
        outcomes: dict[str, Outcome],
    ) -> None:
        ready: list[Prepared] = []
        for prepared in self._prepare(genotypes):
            if isinstance(prepared, PreparationFailure):
                self._progress.say(f"candidate {prepared.candidate_id[:12]} left out: {prepared.message}")
                outcomes[prepared.candidate_id] = Outcome(candidate_id=prepared.candidate_id, failure=prepared.message)
                continue
            self._write_accuracy(prepared)
            ready.append(prepared)
        latencies = latencies | self._measure([p for p in ready if p.candidate_id not in latencies])
        for prepared in ready:
            latency = latencies[prepared.candidate_id]
            outcomes[prepared.candidate_id] = (
                _outcome(latency, self._evaluation(prepared))
                if isinstance(latency, Measurement)
                else Outcome(candidate_id=prepared.candidate_id, failure=latency.message)
            )

    def _prepare(self, genotypes: Sequence[IntArray]) -> list[Prepared | PreparationFailure]:
        return self._pool.prepare(
            genotypes, lambda done: self._progress.update("preparing candidates", done, len(genotypes))
        )

    def _measure(self, batch: Sequence[Prepared]) -> dict[str, Measurement | MeasurementFailure]:
        """Compiles and times a batch; every outcome is stored as it ends."""
        if not batch:
            return {}
        compiled = self._bench.compile([prepared.network_files for prepared in batch])
        self._bench.open(prepare_anchor(self._space, self._pool))
        outcomes: dict[str, Measurement | MeasurementFailure] = {}
        for number, (prepared, artifact) in enumerate(zip(batch, compiled, strict=True), start=1):
            outcome = (
                artifact
                if isinstance(artifact, MeasurementFailure)
                else self._bench.measure(prepared.network_files, artifact)
            )
            self._store.measurements.add(outcome, supernet_id=self._supernet_id, lease=self._lease)
            outcomes[prepared.candidate_id] = outcome
            if isinstance(outcome, MeasurementFailure):
                self._progress.say(
                    f"candidate {prepared.candidate_id[:12]} left out ({outcome.stage}): {outcome.message}"
                )
                continue
            self._progress.update(
                f"measuring on {self._profile.id}",
                number,
                len(batch),
                {"last": f"{outcome.latency_p50_ms:.3f} ms, {prepared.accuracy_val:.1%}"},
            )
        return outcomes

    def _write_accuracy(self, prepared: Prepared) -> None:
        self._store.evaluations.put([self._evaluation(prepared)])

    def _evaluation(self, prepared: Prepared) -> Evaluation:
        return Evaluation(
            supernet_id=self._supernet_id,
            candidate_id=prepared.candidate_id,
            part="val",
            accuracy=prepared.accuracy_val,
            images=prepared.images_val,
        )


def prepare_anchor(space: SearchSpace, pool: PreparationPool) -> NetworkFiles:
    """The files of the anchor: the space's largest network in fp32.

    Raises:
        AnchorError: where it cannot be prepared.
    """
    (prepared,) = pool.prepare([space.largest()])
    if isinstance(prepared, PreparationFailure):
        raise AnchorError(f"the anchor network, the largest in fp32, could not be prepared: {prepared.message}")
    return prepared.network_files


def known_latencies(
    store: Store, profile: DeviceProfile, *, supernet_id: str | None = None
) -> dict[str, Measurement | MeasurementFailure]:
    """The newest usable outcome of each candidate on this very device; passing failures are left out.

    Those of calibrations are left out, too: their artifacts hold no trained weights. Where artifacts
    may be shipped, name the supernet whose weights they must hold.
    """
    known: dict[str, Measurement | MeasurementFailure] = {}
    for stored in store.measurements.of(profile.id, fingerprint=profile.fingerprint):
        outcome = stored.outcome
        if stored.supernet_id is None or supernet_id not in (None, stored.supernet_id):
            continue
        if isinstance(outcome, Measurement):
            known[outcome.candidate_id] = outcome
        elif outcome.stage in LASTING_FAILURES:
            known.setdefault(outcome.candidate_id, outcome)
    return known


def _outcome(latency: Measurement, accuracy: Evaluation) -> Outcome:
    return Outcome(
        candidate_id=latency.candidate_id,
        metrics={
            "accuracy": accuracy.accuracy,
            "latency_p50_ms": latency.latency_p50_ms,
            "latency_p95_ms": latency.latency_p95_ms,
            "size_bytes": float(latency.size_bytes),
        },
        images_val=accuracy.images,
        quality=latency.quality,
    )
