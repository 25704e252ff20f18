"""Compiles batches of candidates in several workers; timing stays with one measuring session.

Compiling uses every core, timing needs a quiet machine: so a batch is compiled first and
timed afterwards.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from hw_profiles.environment import ENVIRONMENT
from hw_profiles.errors import MeasuringError, WorkerLostError
from hw_profiles.measurement import MeasurementFailure
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile
from hw_profiles.worker_process import WorkerProcess

CompileOutcome = Path | MeasurementFailure
_Item = TypeVar("_Item")
_Outcome = TypeVar("_Outcome")


class NetworkCompiler:
    """Compiles single networks for a profile in whatever worker it is given."""

    def __init__(
        self,
        profile: DeviceProfile,
        folder: Path,
        *,
        deadline_s: float = 120.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_warning: Callable[[str, str], None] = lambda _name, _message: None,
    ) -> None:
        """``on_warning`` is called with a network's name and each warning of its compilation."""
        self._profile = profile
        self._folder = folder
        self._deadline_s = deadline_s
        self._now = now
        self._on_warning = on_warning

    def compile(
        self, worker: WorkerProcess, files: NetworkFiles, *, check: bool = False, made: Path | None = None
    ) -> CompileOutcome:
        """The artifact, checked where asked, or why there is none; ``made`` is not compiled again.

        Raises:
            MeasuringError: if the worker does not start, or the disk, its permissions or the like are at fault.
        """
        request = {"command": "compile", "files": files.as_json(), "folder": str(self._folder)}
        compiled: Mapping[str, Any] = {"ok": True, "artifact": str(made), "warnings": []}
        try:
            if made is None:
                compiled = worker.request(request, deadline_s=self._deadline_s)
            reply = compiled
            if check and compiled["ok"]:
                request = {"command": "check", "files": files.as_json(), "artifact": compiled["artifact"]}
                reply = worker.request(request, deadline_s=self._deadline_s)
        except WorkerLostError as error:
            return self._failure(files, "timeout" if error.timed_out else "crash", str(error))
        if not reply["ok"]:
            if reply["stage"] == ENVIRONMENT:
                raise MeasuringError(f"cannot compile here: {reply['message']}")
            return self._failure(files, reply["stage"], reply["message"])
        for message in compiled["warnings"]:
            self._on_warning(files.name, message)
        return Path(compiled["artifact"])

    def _failure(self, files: NetworkFiles, stage: str, message: str) -> MeasurementFailure:
        return MeasurementFailure.from_json(
            {
                "candidate_id": files.name,
                "profile_id": self._profile.id,
                "fingerprint": self._profile.fingerprint,
                "stage": stage,
                "message": message,
                "measured_at": self._now().isoformat(timespec="seconds"),
            }
        )


class CompilePool:
    """A context manager over compiling workers of one profile; each starts with its first candidate.

    A candidate that crashes or hangs a worker costs that worker alone. ``on_warning`` is called
    with a network's name and each warning of its compilation, which is in the worker's log, too.
    """

    def __init__(
        self,
        profile: DeviceProfile,
        folder: Path,
        *,
        workers: int | None = None,
        deadline_s: float = 120.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_warning: Callable[[str, str], None] = lambda _name, _message: None,
    ) -> None:
        self._compiler = NetworkCompiler(profile, folder, deadline_s=deadline_s, now=now, on_warning=on_warning)
        count = workers or max(1, os.cpu_count() or 1)
        self._workers = [
            WorkerProcess(profile, folder / f"compiler-{profile.runtime}-{number}.log") for number in range(count)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the workers."""
        for worker in self._workers:
            worker.close()

    def compile(
        self,
        batch: Sequence[NetworkFiles],
        on_done: Callable[[int], None] = lambda _done: None,
        *,
        check: bool = False,
        made: Mapping[str, Path] | None = None,
    ) -> list[CompileOutcome]:
        """The artifact of each candidate, or why there is none, in order.

        Args:
            batch: the candidates.
            on_done: called with the number of candidates that are done.
            check: whether outputs are compared, too: a measuring session does so before it times an artifact.
            made: artifacts by candidate that are not compiled again.

        Raises:
            MeasuringError: if no worker starts, or the disk, its permissions or the like are at fault.
        """

        def compile_one(worker: WorkerProcess, files: NetworkFiles) -> CompileOutcome:
            return self._compiler.compile(worker, files, check=check, made=(made or {}).get(files.name))

        return self.spread(compile_one, batch, on_done)

    def spread(
        self,
        work: Callable[[WorkerProcess, _Item], _Outcome],
        items: Sequence[_Item],
        on_done: Callable[[int], None] = lambda _done: None,
    ) -> list[_Outcome]:
        """Runs ``work`` on each item in any free worker; returns results in order and raises what ``work`` raises."""
        idle: SimpleQueue[WorkerProcess] = SimpleQueue()
        for worker in self._workers:
            idle.put(worker)

        def in_free_worker(item: _Item) -> _Outcome:
            worker = idle.get()
            try:
                return work(worker, item)
            finally:
                idle.put(worker)

        outcomes: list[_Outcome] = []
        threads = ThreadPoolExecutor(max_workers=len(self._workers))
        try:
            for outcome in threads.map(in_free_worker, items):
                outcomes.append(outcome)
                on_done(len(outcomes))
        except BaseException:
            # Ctrl-C must not wait for the rest of the batch.
            threads.shutdown(wait=False, cancel_futures=True)
            self.close()
            raise
        finally:
            threads.shutdown()
        return outcomes
