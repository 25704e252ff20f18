"""Measures networks on a device, whatever their weights; each outcome is stored as it ends."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np

from hw_profiles.compiling import CompileOutcome
from hw_profiles.errors import ArtifactError, MeasuringError
from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.network_files import NetworkFiles
from nas.measuring.anchored_bench import AnchoredBench
from nas.measuring.context import DeviceContext
from nas.measuring.device_bench import device_bench
from nas.measuring.float_units import FloatUnitNotes, float_units
from nas.measuring.preparation import PreparationFailure, Prepared
from nas.measuring.preparation_pool import PreparationPool
from nas.measuring.random_weights import RandomWeightSource
from search_spaces.errors import NasError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray

LatencyOutcome = Measurement | MeasurementFailure


class AnchorError(NasError):
    """The network that drift is seen by cannot be prepared."""

    code: ClassVar[str] = "no-anchor"


class NetworkMeasurer:
    """Takes fresh measurements, batch by batch: prepared and compiled first, then timed on a quiet machine.

    The bench opens with the first network that is timed; its anchor is the space's largest network in fp32.
    """

    def __init__(self, context: DeviceContext, pool: PreparationPool, bench: AnchoredBench) -> None:
        self._context = context
        self._pool = pool
        self._bench = bench
        self._notes = FloatUnitNotes(context.profile, context.progress)

    def prepare(self, genotypes: Sequence[IntArray], task: str = "preparing networks") -> list[Prepared]:
        """Files of canonical genotypes, each ``(genes,)``; failures are reported and left out."""
        prepared = self._pool.prepare(genotypes, lambda done: self._context.progress.update(task, done, len(genotypes)))
        for failure in prepared:
            if isinstance(failure, PreparationFailure):
                self._context.progress.say(f"network {failure.candidate_id[:12]} left out: {failure.message}")
        return [one for one in prepared if isinstance(one, Prepared)]

    def measure(
        self,
        batch: Sequence[Prepared],
        on_done: Callable[[int, LatencyOutcome], None] = lambda _done, _outcome: None,
    ) -> dict[str, LatencyOutcome]:
        """Compiles and times prepared networks, stored candidates all; gives their outcomes by candidate id.

        Units that the device computes in float in spite of their precision are named as progress. ``on_done`` is
        called with the number timed and the last outcome.

        Raises:
            NasError: if measuring as such is impossible: the anchor fails or no worker starts.
        """
        if not batch:
            return {}
        context = self._context
        self._note_float_units(batch)
        compiled = self._bench.compile([prepared.network_files for prepared in batch])
        self.open_bench()
        outcomes: dict[str, LatencyOutcome] = {}
        for number, (prepared, artifact) in enumerate(zip(batch, compiled, strict=True), start=1):
            outcome = self._timed(prepared, artifact)
            if isinstance(outcome, MeasurementFailure) and not self._is_own(prepared, outcome):
                context.progress.say(
                    f"network {prepared.candidate_id[:12]} is prepared again: {outcome.stage} failed: {outcome.message}"
                )
                outcome = self._again(prepared)
            context.store.measurements.add(outcome, supernet_id=self._pool.source.supernet_id, lease=context.lease)
            outcomes[prepared.candidate_id] = outcome
            on_done(number, outcome)
            if isinstance(outcome, MeasurementFailure):
                context.progress.say(
                    f"network {prepared.candidate_id[:12]} left out ({outcome.stage}): {outcome.message}"
                )
        return outcomes

    def _note_float_units(self, batch: Sequence[Prepared]) -> None:
        space, quantized = self._context.space, [one for one in batch if one.quantized]
        stored = self._context.store.candidates.get_many([one.candidate_id for one in quantized])
        genotypes = {one.id: np.array(one.genotype) for one in stored}
        for one in quantized:
            precisions = space.unit_precisions(genotypes[one.candidate_id])
            # A graph that is gone or damaged is made again when it is compiled.
            with contextlib.suppress(ArtifactError):
                self._notes.note(float_units(one, precisions, self._context.profile), precisions)

    def _timed(self, prepared: Prepared, artifact: CompileOutcome) -> LatencyOutcome:
        if isinstance(artifact, MeasurementFailure):
            return artifact
        return self._bench.measure(prepared.network_files, artifact)

    def _is_own(self, prepared: Prepared, failure: MeasurementFailure) -> bool:
        """Whether a failure is surely the network's: a compiler that says no to whole files, or a deadline."""
        return failure.stage == "timeout" or (failure.stage == "compile" and self._is_whole(prepared))

    def _is_whole(self, prepared: Prepared) -> bool:
        files = prepared.network_files
        return Prepared.load(prepared.folder, self._pool.source) is not None and files.reference.is_file()

    def _again(self, prepared: Prepared) -> LatencyOutcome:
        """The network, made and compiled anew: its files, or the anchor's, may have been deleted or damaged meanwhile.

        Raises:
            MeasuringError: if they cannot be made; no network is to blame for that.
        """
        if not self._is_whole(prepared):
            shutil.rmtree(prepared.folder, ignore_errors=True)
        genotype = np.array(self._context.store.candidates.get(prepared.candidate_id).genotype)
        (fresh,) = self._pool.prepare([genotype])
        if isinstance(fresh, PreparationFailure):
            raise MeasuringError(f"the files of network {prepared.candidate_id[:12]} are missing: {fresh.message}")
        (artifact,) = self._bench.compile([fresh.network_files])
        if not self._bench.is_whole:
            self._bench.reopen(prepare_anchor(self._context, self._pool))
        outcome = self._timed(fresh, artifact)
        if isinstance(outcome, MeasurementFailure) and not self._is_whole(fresh):
            raise MeasuringError(
                f"files in {self._context.workspace.home.cache} are deleted or changed while in use; stop the"
                " program that does so and start again: finished measurements are kept."
            )
        return outcome

    def latencies_ms(self, genotypes: IntArray, on_done: Callable[[int], None] = lambda _done: None) -> FloatArray:
        """Fresh median milliseconds of canonical genotypes ``(n, genes)``, shape ``(n,)``; NaN if one failed.

        ``on_done`` is called with the number timed. Errors as :meth:`measure`.
        """
        if not len(genotypes):
            return np.zeros(0)
        ids = self._context.store.candidates.put(self._context.space, genotypes)
        outcomes = self.measure(self.prepare(list(genotypes)), lambda done, _outcome: on_done(done))
        return np.array([_p50_ms(outcomes, candidate_id) for candidate_id in ids])

    def open_bench(self) -> None:
        """Starts the bench beside its anchor; twice is harmless.

        Raises:
            AnchorError: if the anchor cannot be prepared.
            MeasuringError: if it cannot be measured.
        """
        self._bench.open(prepare_anchor(self._context, self._pool))


def prepare_anchor(context: DeviceContext, pool: PreparationPool) -> NetworkFiles:
    """The files of the anchor, a stored candidate from now on: the space's largest network in fp32.

    Raises:
        AnchorError: if it cannot be prepared.
    """
    largest = context.space.largest()
    context.store.candidates.put(context.space, largest[None])
    (prepared,) = pool.prepare([largest])
    if isinstance(prepared, PreparationFailure):
        raise AnchorError(f"the anchor network, the largest in fp32, could not be prepared: {prepared.message}")
    return prepared.network_files


@contextlib.contextmanager
def random_weight_measurer(context: DeviceContext) -> Iterator[NetworkMeasurer]:
    """Measures networks with random weights; its processes end with the context."""
    context.store.devices.put(context.profile)
    source = RandomWeightSource.from_space(context.space, context.workspace.home.cache / "random")
    with PreparationPool(source) as pool, device_bench(context, source.key) as bench:
        yield NetworkMeasurer(context, pool, bench)


def _p50_ms(outcomes: Mapping[str, LatencyOutcome], candidate_id: str) -> float:
    outcome = outcomes.get(candidate_id)
    return outcome.latency_p50_ms if isinstance(outcome, Measurement) else float("nan")
