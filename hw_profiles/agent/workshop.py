"""Runs an agent's tasks: one confined bench per device, over files by hash."""

import contextlib
import hashlib
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from hw_profiles.agent.files import FileRefusedError
from hw_profiles.agent.tasks import AgentTask, BuiltArtifact, Fault, Outcome, Role, TaskFile, TaskNetwork
from hw_profiles.bench import BenchFailure, CompiledNetwork
from hw_profiles.confinement import Confinement
from hw_profiles.errors import MeasuringError
from hw_profiles.local_bench import LocalBench
from hw_profiles.measurement import MeasurementFailure
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile


class Workshop:
    """Benches of this machine, one at work at a time. A context manager that ends their processes."""

    def __init__(self, folder: Path, fetch: Callable[[TaskFile], Path], confinement: Confinement) -> None:
        """Compiles into ``folder``, which the confined process can write to; what lies there is removed.

        ``fetch`` gives a task's file; a :class:`FileRefusedError` of it ends the task.
        """
        self._folder = folder
        self._fetch = fetch
        self._confinement = confinement
        self._benches: dict[str, LocalBench] = {}
        self._at_work: LocalBench | None = None
        for left in folder.iterdir():
            shutil.rmtree(left, ignore_errors=True)

    def __enter__(self) -> "Workshop":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends every process."""
        for bench in self._benches.values():
            bench.close()
        self._benches.clear()

    def interrupt(self) -> None:
        """Kills the process at work, from any thread: its task fails at once."""
        bench = self._at_work
        pid = None if bench is None else bench.worker_pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    def run(self, task: AgentTask, own: Mapping[str, DeviceProfile], upload: Callable[[Path], None]) -> Outcome:
        """Does a task; whatever goes wrong is an outcome, but for errors of the service.

        Args:
            task: with a checked signature.
            own: profiles of this machine as it is now, by fingerprint.
            upload: sends a compiled artifact that the service does not have.
        """
        if task.profile.fingerprint not in own:
            return Fault(code="device-changed", message=f"{task.profile.id} is not what it was; run the command again.")
        bench = self._at_work = self._bench(task)
        warnings: list[str] = []
        try:
            paths = self._fetched(task.network)
            network, artifact = self._network(task.network, paths, bench.profile)
            if task.kind == "compile":
                return self._compiled(task, bench, network, upload, warnings)
            compiled = CompiledNetwork(files=network, artifact=artifact)
            if task.kind == "check":
                return bench.check(compiled)
            if task.kind == "classify":
                return bench.classify([compiled], paths["images"])[0]
            anchor = None
            if task.anchor is not None:
                files, its_artifact = self._network(task.anchor, self._fetched(task.anchor), bench.profile)
                anchor = CompiledNetwork(files=files, artifact=its_artifact)
            return bench.time(compiled, anchor, fresh=task.fresh)
        except FileRefusedError as error:
            return Fault(code="file-refused", message=str(error))
        except (MeasuringError, OSError) as error:
            return Fault(code="bench", message=str(error) or type(error).__name__)
        finally:
            self._at_work = None

    def _bench(self, task: AgentTask) -> LocalBench:
        fingerprint = task.profile.fingerprint
        for other in [name for name in self._benches if name != fingerprint]:
            self._benches.pop(other).close()  # one process at a time: devices are small, and timing wants quiet
        if fingerprint not in self._benches:
            folder = self._folder / fingerprint[:16]
            folder.mkdir(parents=True, exist_ok=True)
            self._benches[fingerprint] = LocalBench(task.profile, folder, task.settings, confinement=self._confinement)
        bench = self._benches[fingerprint]
        bench.settings = task.settings
        return bench

    def _fetched(self, network: TaskNetwork) -> dict[Role, Path]:
        return {role: self._fetch(file) for role, file in network.files.items()}

    def _network(
        self, network: TaskNetwork, paths: Mapping[Role, Path], profile: DeviceProfile
    ) -> tuple[NetworkFiles, Path]:
        return network.at(paths), paths.get("artifact", self._folder / f"none.{profile.runtime}")

    def _compiled(
        self,
        task: AgentTask,
        bench: LocalBench,
        files: NetworkFiles,
        upload: Callable[[Path], None],
        warnings: list[str],
    ) -> Outcome:
        bench.on_warning = lambda _name, message: warnings.append(message)
        (outcome,) = bench.compile([files])
        if isinstance(outcome, MeasurementFailure):
            return BenchFailure(stage=outcome.stage, message=outcome.message)
        content = outcome.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 not in {file.sha256 for file in task.network.files.values()}:
            upload(outcome)
        outcome.unlink()
        return BuiltArtifact(sha256=sha256, size_bytes=len(content), warnings=tuple(warnings))
