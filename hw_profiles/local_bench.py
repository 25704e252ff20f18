"""The bench on this machine: a worker process that times, and a pool of them that compiles batches."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hw_profiles.agreement import Agreement
from hw_profiles.bench import BenchFailure, Classes, CompiledNetwork, Rounds, Timing, agreement_from_json
from hw_profiles.compiling import CompileOutcome, CompilePool, NetworkCompiler
from hw_profiles.conditions import ConditionsWatch
from hw_profiles.confinement import Confinement
from hw_profiles.environment import ENVIRONMENT
from hw_profiles.errors import MeasuringError, WorkerLostError
from hw_profiles.measurement import Stage
from hw_profiles.measuring_settings import MeasuringSettings
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile
from hw_profiles.reading import Reading
from hw_profiles.worker_process import WorkerProcess


class _FailedError(Exception):
    """Control flow inside the bench, never seen outside."""

    def __init__(self, stage: Stage, message: str) -> None:
        self.failure = BenchFailure(stage=stage, message=message)
        super().__init__(message)


class LocalBench:
    """See :class:`hw_profiles.bench.Bench`; processes start when needed and end with the context.

    Compiling uses every core, timing needs a quiet machine: so batches are compiled before any network is timed.
    """

    def __init__(
        self,
        profile: DeviceProfile,
        folder: Path,
        settings: MeasuringSettings | None = None,
        *,
        confinement: Confinement | None = None,
        on_warning: Callable[[str, str], None] = lambda _name, _message: None,
    ) -> None:
        """Compiles into ``folder``; ``on_warning`` is called with a network's name and each warning.

        With a ``confinement``, everything happens in one process that is confined.
        """
        self.settings = settings or MeasuringSettings()
        self._profile = profile
        self._folder = folder
        self._confinement = confinement
        self.on_warning = on_warning
        self._pool: CompilePool | None = None
        log = folder / f"worker-{profile.runtime}.log"
        self._worker = WorkerProcess(
            profile, log, start_deadline_s=self.settings.start_deadline_s, confinement=confinement
        )

    @property
    def profile(self) -> DeviceProfile:
        """See :class:`hw_profiles.bench.Bench`."""
        return self._profile

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker that times; None where none runs."""
        return self._worker.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes."""
        self._worker.close()
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def compile(
        self, batch: Sequence[NetworkFiles], on_done: Callable[[int], None] = lambda _done: None
    ) -> list[CompileOutcome]:
        """See :class:`hw_profiles.bench.Bench`."""
        deadline_s = self.settings.compile_deadline_s
        if self._confinement is None and (len(batch) > 1 or self._pool is not None):
            return self._opened_pool().compile(batch, on_done)
        # The worker that times is there anyway: a single network needs no other.
        compiler = NetworkCompiler(self._profile, self._folder, deadline_s=deadline_s, on_warning=self.on_warning)
        outcomes: list[CompileOutcome] = []
        for files in batch:
            outcomes.append(compiler.compile(self._worker, files))
            on_done(len(outcomes))
        return outcomes

    def check(self, network: CompiledNetwork) -> Agreement | BenchFailure:
        """See :class:`hw_profiles.bench.Bench`."""
        try:
            return self._check(network)
        except _FailedError as error:
            return error.failure

    def classify(self, networks: Sequence[CompiledNetwork], images: Path) -> list[Classes | BenchFailure]:
        """See :class:`hw_profiles.bench.Bench`; nothing is timed, so several networks run beside each other."""

        def classify_one(worker: WorkerProcess, network: CompiledNetwork) -> Classes | BenchFailure:
            request = {"command": "classify", "artifact": str(network.artifact), "images": str(images)}
            try:
                reply = self._request(request, self.settings.classify_deadline_s, worker)
            except _FailedError as error:
                return error.failure
            return Classes.from_json({"values": reply["classes"]})

        if self._confinement is None and len(networks) > 1:
            return self._opened_pool().spread(classify_one, networks)
        return [classify_one(self._worker, network) for network in networks]

    def time(
        self, network: CompiledNetwork, anchor: CompiledNetwork | None = None, *, fresh: bool = False
    ) -> Timing | BenchFailure:
        """See :class:`hw_profiles.bench.Bench`."""
        if fresh:
            self._worker.close()
        try:
            footprint = self._footprint(network)
            agreement = self._check(network)
            watch = ConditionsWatch()
            attempts = self._attempts(network, anchor)
            conditions = watch.conditions()
        except _FailedError as error:
            return error.failure
        return Timing(
            attempts=attempts,
            agreement=agreement,
            load_time_ms=footprint["load_time_ms"],
            peak_memory_bytes=footprint["peak_memory_bytes"],
            conditions=conditions,
        )

    def _opened_pool(self) -> CompilePool:
        if self._pool is None:
            deadline_s = self.settings.compile_deadline_s
            self._pool = CompilePool(self._profile, self._folder, deadline_s=deadline_s, on_warning=self.on_warning)
        return self._pool

    def _footprint(self, network: CompiledNetwork) -> dict[str, Any]:
        """Load time and peak memory; None where a busy machine gave no time to measure them."""
        request = {
            "command": "footprint",
            "artifact": str(network.artifact),
            "reference": str(network.files.reference),
        }
        try:
            return self._request(request, self.settings.check_deadline_s)
        except _FailedError as error:
            if error.failure.stage != "timeout":
                raise
            return {"load_time_ms": None, "peak_memory_bytes": None}

    def _check(self, network: CompiledNetwork) -> Agreement:
        request = {"command": "check", "files": network.files.as_json(), "artifact": str(network.artifact)}
        return agreement_from_json(self._request(request, self.settings.check_deadline_s))

    def _attempts(self, network: CompiledNetwork, anchor: CompiledNetwork | None) -> tuple[Rounds, ...]:
        attempts: list[Rounds] = []
        while len(attempts) < self.settings.max_attempts:
            attempts.append(self._rounds(network, anchor))
            # Whether it passes does not depend on what the anchor took before.
            if Reading.from_rounds(attempts[-1], 1.0, self.settings).passes(self.settings):
                break
        return tuple(attempts)

    def _rounds(self, network: CompiledNetwork, anchor: CompiledNetwork | None) -> Rounds:
        settings = self.settings
        networks = [network] if anchor is None else [anchor, network]
        request = {
            "command": "time",
            "networks": [(str(one.artifact), str(one.files.reference)) for one in networks],
            "rounds": settings.rounds,
            "round_ms": settings.round_ms,
            "min_calls": settings.min_calls,
            "max_calls": settings.max_calls,
            "warmup_ms": settings.warmup_ms,
        }
        reply = self._request(request, settings.time_deadline_s)
        *anchors, candidate = reply["samples_ms"]
        return Rounds.from_json(
            {"candidate_ms": candidate, "anchor_ms": anchors[0] if anchors else [], "busy": reply["busy"]}
        )

    def _request(
        self, command: dict[str, Any], deadline_s: float, worker: WorkerProcess | None = None
    ) -> dict[str, Any]:
        """A worker's reply; of the one that times if none is given."""
        try:
            reply = (worker or self._worker).request(command, deadline_s=deadline_s)
        except WorkerLostError as error:
            raise _FailedError("timeout" if error.timed_out else "crash", str(error)) from error
        if not reply["ok"]:
            if reply["stage"] == ENVIRONMENT:
                raise MeasuringError(f"cannot measure here: {reply['message']}")
            raise _FailedError(reply["stage"], reply["message"])
        return reply
