"""Real evaluations: prepared, measured on the device, and stored one by one.

What the store holds already is not done again: an accuracy belongs to (supernet,
candidate), a latency to (candidate, device fingerprint). So every command that
evaluates can be interrupted at any moment and run again.
"""

from collections.abc import Collection, Sequence
from typing import Final

from hw_profiles.measurement import Measurement, MeasurementFailure
from nas.measuring.anchored_bench import AnchoredBench
from nas.measuring.context import SearchContext
from nas.measuring.device_measurements import MeasuredNetwork
from nas.measuring.network_measurer import LatencyOutcome, NetworkMeasurer
from nas.measuring.preparation import PreparationFailure, Prepared
from nas.search.outcome import Outcome
from nas.store.evaluations import Evaluation
from search_spaces.space import IntArray

_PREPARING: Final = "preparing candidates"


class RealEvaluator:
    """Evaluates candidates of one supernet on one device profile.

    Batches are prepared and compiled first, then timed on a quiet machine. A latency that was measured with
    other weights, such as a calibration's, is not measured again.
    """

    def __init__(self, context: SearchContext, bench: AnchoredBench, metrics: Collection[str] = ()) -> None:
        """``metrics`` names those that each outcome must have: what was measured without one is measured again."""
        self._context = context
        self._required = frozenset(metrics) - {"accuracy"}
        self._measurements = context.device.measurements()
        self._measurer = NetworkMeasurer(context.device, context.pool, bench)

    def evaluate(self, genotypes: IntArray) -> Sequence[Outcome]:
        """See :class:`nas.search.outcome.Evaluator`."""
        context = self._context
        ids = context.store.candidates.put(context.space, genotypes)
        known = self._known()
        missing = [row for row, candidate_id in enumerate(ids) if candidate_id not in known]
        made = self._evaluate_missing([genotypes[row] for row in missing])
        return [(known | made)[candidate_id] for candidate_id in ids]

    def _known(self) -> dict[str, Outcome]:
        """Outcomes by candidate of what need not be measured, nor counted, again."""
        accuracies = self._context.store.evaluations.of(self._context.supernet.id, "val")
        known = {
            candidate_id: self._outcome(network, accuracies[candidate_id])
            for candidate_id, network in self._networks().items()
            if candidate_id in accuracies
        }
        failures = self._measurements.failures(self._context.supernet.id)
        return known | {
            candidate_id: Outcome(candidate_id=candidate_id, failure=failure.message)
            for candidate_id, failure in failures.items()
        }

    def _evaluate_missing(self, genotypes: Sequence[IntArray]) -> dict[str, Outcome]:
        context = self._context
        if not genotypes:
            return {}
        prepared = context.pool.prepare(
            genotypes, lambda done: context.progress.update(_PREPARING, done, len(genotypes))
        )
        outcomes: dict[str, Outcome] = {}
        ready: list[Prepared] = []
        for one in prepared:
            if isinstance(one, PreparationFailure):
                context.progress.say(f"candidate {one.candidate_id[:12]} left out: {one.message}")
                outcomes[one.candidate_id] = Outcome(candidate_id=one.candidate_id, failure=one.message)
            else:
                context.store.evaluations.put([self._evaluation(one)])
                ready.append(one)
        known = self._networks()
        measured = self._measure([one for one in ready if one.candidate_id not in known])
        networks = self._measurements.networks() if measured else known
        for one in ready:
            failure = measured.get(one.candidate_id)
            outcomes[one.candidate_id] = (
                Outcome(candidate_id=one.candidate_id, failure=failure.message)
                if isinstance(failure, MeasurementFailure)
                else self._outcome(networks[one.candidate_id], self._evaluation(one))
            )
        return outcomes

    def _networks(self) -> dict[str, MeasuredNetwork]:
        """Measured networks by candidate that have every required metric."""
        networks = self._measurements.networks()
        return {key: network for key, network in networks.items() if self._required <= network.metrics().keys()}

    def _measure(self, batch: Sequence[Prepared]) -> dict[str, LatencyOutcome]:
        task = f"measuring on {self._context.profile.id}"

        def report(done: int, outcome: LatencyOutcome) -> None:
            if isinstance(outcome, Measurement):
                figures = {"last": f"{outcome.latency_p50_ms:.3f} ms"}
                self._context.progress.update(task, done, len(batch), figures)

        return self._measurer.measure(batch, report)

    def _evaluation(self, prepared: Prepared) -> Evaluation:
        return Evaluation(
            supernet_id=self._context.supernet.id,
            candidate_id=prepared.candidate_id,
            part="val",
            accuracy=prepared.accuracy_val,
            images=prepared.images_val,
        )

    def _outcome(self, network: MeasuredNetwork, accuracy: Evaluation) -> Outcome:
        metrics = {"accuracy": accuracy.accuracy} | network.metrics()
        if missing := sorted(self._required - metrics.keys()):
            return Outcome(
                candidate_id=network.candidate_id,
                failure=f"{', '.join(missing)} cannot be measured on {self._context.profile.id}.",
            )
        return Outcome(
            candidate_id=network.candidate_id,
            metrics=metrics,
            images_val=accuracy.images,
            quality=network.quality,
        )
