"""Measures networks of a space on a device here, whatever their weights; every outcome is stored as it ends."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from hw_profiles.measurement import Measurement, MeasurementFailure
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile
from nas.measuring.evaluator import AnchorError
from nas.measuring.local_bench import LocalBench
from nas.measuring.preparation import PreparationFailure
from nas.measuring.untrained_pool import UntrainedPool
from nas.progress import Progress
from nas.store.leases import Lease
from nas.store.store import Store
from nas.workspace import Workspace
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

_UNTRAINED = "untrained"


class NetworkMeasurer:
    """Takes fresh measurements, batch by batch: prepared and compiled first, then timed on a quiet machine."""

    def __init__(
        self,
        space: SearchSpace,
        profile: DeviceProfile,
        store: Store,
        pool: UntrainedPool,
        bench: LocalBench,
        progress: Progress,
        lease: Lease | None = None,
    ) -> None:
        self._space = space
        self._profile = profile
        self._store = store
        self._pool = pool
        self._bench = bench
        self._progress = progress
        self._lease = lease

    def measure(self, genotypes: IntArray, on_done: Callable[[int], None] = lambda _done: None) -> FloatArray:
        """Median milliseconds of canonical genotypes ``(n, genes)``, shape ``(n,)``; NaN where one failed.

        ``on_done`` hears how many are timed.

        Raises:
            NasError: where measuring as such is impossible: the anchor fails or no worker starts.
        """
        if not len(genotypes):
            return np.zeros(0)
        ids = self._store.candidates.put(self._space, genotypes)
        prepared = self._pool.prepare(
            list(genotypes), lambda done: self._progress.update("preparing networks", done, len(genotypes))
        )
        ready = [files for files in prepared if isinstance(files, NetworkFiles)]
        for failure in prepared:
            if isinstance(failure, PreparationFailure):
                self._progress.say(f"network {failure.candidate_id[:12]} left out: {failure.message}")
        values = dict.fromkeys(ids, float("nan")) | self._time(ready, on_done)
        return np.array([values[candidate_id] for candidate_id in ids])

    def _time(self, batch: Sequence[NetworkFiles], on_done: Callable[[int], None]) -> dict[str, float]:
        if not batch:
            return {}
        compiled = self._bench.compile(batch)
        self._bench.open(self._anchor())
        values: dict[str, float] = {}
        for number, (files, artifact) in enumerate(zip(batch, compiled, strict=True), start=1):
            outcome = artifact if isinstance(artifact, MeasurementFailure) else self._bench.measure(files, artifact)
            self._store.measurements.add(outcome, lease=self._lease)
            on_done(number)
            if isinstance(outcome, Measurement):
                values[files.name] = outcome.latency_p50_ms
            else:
                self._progress.say(f"network {files.name[:12]} left out ({outcome.stage}): {outcome.message}")
        return values

    def _anchor(self) -> NetworkFiles:
        (prepared,) = self._pool.prepare([self._space.largest()])
        if isinstance(prepared, PreparationFailure):
            raise AnchorError(f"the anchor network, the largest in fp32, could not be prepared: {prepared.message}")
        return prepared


@contextlib.contextmanager
def network_measurer(
    workspace: Workspace,
    space: SearchSpace,
    profile: DeviceProfile,
    progress: Progress,
    lease: Lease | None = None,
) -> Iterator[NetworkMeasurer]:
    """A measurer whose processes end with the context.

    Untrained networks are compiled in a folder of their own: a search may ship what lies in the
    device's. The anchor's reference is the device's, so that both speak of the same clock.
    """
    task = "x".join(str(value) for value in (*space.task.shape, space.task.classes))
    cache = workspace.home.cache / _UNTRAINED / space.name.replace(":", "-") / task
    folder = workspace.measuring_folder(profile)
    bench = LocalBench(
        profile,
        folder / _UNTRAINED,
        lambda done, total: progress.update(f"compiling for {profile.id}", done, total),
        references=folder,
    )
    with UntrainedPool(space, cache) as pool, bench:
        yield NetworkMeasurer(space, profile, workspace.store, pool, bench, progress, lease)
