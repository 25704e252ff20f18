"""The bench of an agent's device: tasks in the store, which the service hands to the agent."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from hw_profiles.agent.tasks import (
    TOLERANCES,
    AgentTask,
    BuiltArtifact,
    Fault,
    Outcome,
    Role,
    TaskFile,
    TaskKind,
    TaskNetwork,
)
from hw_profiles.agreement import Agreement
from hw_profiles.bench import BenchFailure, Classes, CompiledNetwork, Timing
from hw_profiles.compiling import CompileOutcome, CompilePool
from hw_profiles.errors import DeviceChangedError, MeasuringError
from hw_profiles.measurement import MeasurementFailure, Stage
from hw_profiles.measuring_settings import MeasuringSettings
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.registry import get_runtime
from nas.home import sha256_of
from nas.measuring.agent_uploads import upload_path
from nas.store.agents import ALIVE_S, StoredAgent
from nas.workspace import Workspace

_SHORT_POLL_S: Final = 0.02
_LONG_POLL_S: Final = 0.1
_SHORT_POLLS: Final = 100
_LOOK_FOR_AGENT_S: Final = 2.0


class AgentGoneError(MeasuringError):
    """No agent serves the device."""

    code: ClassVar[str] = "agent-gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentBenchSettings:
    """Waiting times of a requester."""

    patience_s: float = 300.0
    """For an agent that is not seen, before measuring is given up."""


class AgentBench:
    """See :class:`hw_profiles.bench.Bench`. Compiles here where the runtime can, else on the device."""

    def __init__(
        self,
        workspace: Workspace,
        profile: DeviceProfile,
        folder: Path,
        settings: MeasuringSettings | None = None,
        *,
        waiting: AgentBenchSettings | None = None,
        say: Callable[[str], None] = lambda _message: None,
    ) -> None:
        """Artifacts lie in ``folder``; ``say`` is called with warnings and with what is waited for.

        Raises:
            AgentGoneError: if there is no such agent.
        """
        self.settings = settings or MeasuringSettings()
        self._home = workspace.home
        self._store = workspace.store
        self._profile = profile
        self._folder = folder
        self._waiting = waiting or AgentBenchSettings()
        self._say = say
        self._runtime = get_runtime(profile.runtime)
        self._pool: CompilePool | None = None
        self._digests: dict[tuple[Path, int, int, int], TaskFile] = {}
        self._paths: dict[str, Path] = {}
        self._agent_id = self._agent().id

    @property
    def profile(self) -> DeviceProfile:
        """See :class:`hw_profiles.bench.Bench`."""
        return self._profile

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def compile(
        self, batch: Sequence[NetworkFiles], on_done: Callable[[int], None] = lambda _done: None
    ) -> list[CompileOutcome]:
        """See :class:`hw_profiles.bench.Bench`."""
        if self._runtime.cross_compiles:
            return self._compile_here(batch, on_done)
        outcomes: list[CompileOutcome] = []
        for files in batch:
            outcomes.append(self._compile_there(files))
            on_done(len(outcomes))
        return outcomes

    def check(self, network: CompiledNetwork) -> Agreement | BenchFailure:
        """See :class:`hw_profiles.bench.Bench`."""
        outcome = self._ask("check", network)
        if isinstance(outcome, Agreement | BenchFailure):
            return outcome
        raise _unexpected(self._profile, outcome)

    def classify(self, networks: Sequence[CompiledNetwork], images: Path) -> list[Classes | BenchFailure]:
        """See :class:`hw_profiles.bench.Bench`."""
        return [self._classify(network, images) for network in networks]

    def _classify(self, network: CompiledNetwork, images: Path) -> Classes | BenchFailure:
        asked = self._compiled(network, images)
        if isinstance(asked, BenchFailure):
            return asked
        outcome = self._done(self._add("classify", asked))[2]
        if isinstance(outcome, Fault) and outcome.code == "file-refused" and not self._are_whole(network):
            return BenchFailure(stage="run", message=outcome.message)
        if isinstance(outcome, Classes | BenchFailure):
            return outcome
        raise _unexpected(self._profile, outcome)

    def time(
        self, network: CompiledNetwork, anchor: CompiledNetwork | None = None, *, fresh: bool = False
    ) -> Timing | BenchFailure:
        """See :class:`hw_profiles.bench.Bench`."""
        outcome = self._ask("time", network, anchor, fresh=fresh)
        if isinstance(outcome, Timing | BenchFailure):
            return outcome
        raise _unexpected(self._profile, outcome)

    def _compile_here(self, batch: Sequence[NetworkFiles], on_done: Callable[[int], None]) -> list[CompileOutcome]:
        if self._runtime.version != self._profile.runtime_version:
            raise MeasuringError(
                f"{self._profile.id} has {self._runtime.name} {self._profile.runtime_version}, but networks are"
                f" compiled here, with {self._runtime.version}; install the same version on both."
            )
        if self._pool is None:
            self._pool = CompilePool(
                self._profile,
                self._folder,
                deadline_s=self.settings.compile_deadline_s,
                on_warning=lambda name, message: self._say(f"candidate {name[:12]}: {message}"),
            )
        return self._pool.compile(batch, on_done)

    def _compile_there(self, files: NetworkFiles) -> CompileOutcome:
        asked = self._network(files, {"onnx": files.onnx})
        if isinstance(asked, BenchFailure):
            return self._failure(files, asked)
        number, fence, outcome = self._done(self._add("compile", asked))
        if isinstance(outcome, BenchFailure):
            return self._failure(files, outcome)
        if not isinstance(outcome, BuiltArtifact):
            raise _unexpected(self._profile, outcome)
        for warning in outcome.warnings:
            self._say(f"candidate {files.name[:12]}: {warning}")
        target = self._folder / f"{files.name}.{self._runtime.name}{self._runtime.artifact_suffix}"
        uploaded = upload_path(self._home, (number, fence))
        is_the_graph = asked.files["onnx"].sha256 == outcome.sha256  # ONNX Runtime's artifacts: not sent back
        unfinished = target.with_name(f"{target.name}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files.onnx if is_the_graph else uploaded, unfinished)
            if sha256_of(unfinished) != outcome.sha256:
                raise MeasuringError(f"an artifact that {self._profile.id} compiled arrived incomplete; try again.")
            unfinished.replace(target)
        except OSError as error:
            raise MeasuringError(f"the artifact that {self._profile.id} compiled cannot be stored: {error}") from error
        finally:
            unfinished.unlink(missing_ok=True)
            uploaded.unlink(missing_ok=True)
        return target

    def _ask(
        self, kind: TaskKind, network: CompiledNetwork, anchor: CompiledNetwork | None = None, *, fresh: bool = False
    ) -> Outcome:
        asked = self._compiled(network)
        beside = None if anchor is None else self._compiled(anchor)
        if isinstance(asked, BenchFailure):
            return asked
        if isinstance(beside, BenchFailure):
            return beside
        outcome = self._done(self._add(kind, asked, beside, fresh=fresh))[2]
        if isinstance(outcome, Fault) and outcome.code == "file-refused" and not self._are_whole(network, anchor):
            # Deleted or changed under our hands: made again by whoever asks.
            return BenchFailure(stage="run", message=outcome.message)
        return outcome

    def _compiled(self, network: CompiledNetwork, images: Path | None = None) -> TaskNetwork | BenchFailure:
        roles: dict[Role, Path | None] = {"artifact": network.artifact, "reference": network.files.reference}
        if network.files.quantized:
            roles["onnx"] = network.files.onnx  # what it is checked against
        if images is not None:
            roles["images"] = images
        return self._network(network.files, roles)

    def _network(self, files: NetworkFiles, roles: Mapping[Role, Path | None]) -> TaskNetwork | BenchFailure:
        found: dict[Role, TaskFile] = {}
        try:
            for role, path in roles.items():
                if path is None:
                    raise FileNotFoundError(f"no {role} was made")
                found[role] = self._file(role, path)
        except OSError as error:
            stage: Stage = "run" if "artifact" in roles else "compile"
            return BenchFailure(stage=stage, message=f"a file of network {files.name[:12]} cannot be read: {error}")
        tolerances = {name: getattr(files, name) for name in TOLERANCES}
        return TaskNetwork(name=files.name, quantized=files.quantized, files=found, tolerances=tolerances)

    def _file(self, role: Role, path: Path) -> TaskFile:
        """Hashed once, as long as it stays the same file."""
        with path.open("rb") as opened:
            status = os.fstat(opened.fileno())
            key = (path, status.st_ino, status.st_size, status.st_mtime_ns)
            if key not in self._digests:
                suffix = self._runtime.artifact_suffix if role == "artifact" else path.suffix
                self._digests[key] = TaskFile(
                    sha256=hashlib.file_digest(opened, "sha256").hexdigest(), size_bytes=status.st_size, suffix=suffix
                )
        self._paths[self._digests[key].sha256] = path
        return self._digests[key]

    def _are_whole(self, *networks: CompiledNetwork | None) -> bool:
        self._digests.clear()
        before = dict(self._paths)
        for network in networks:
            if network is not None and isinstance(self._compiled(network), BenchFailure):
                return False
        return before == self._paths

    def _add(
        self, kind: TaskKind, network: TaskNetwork, anchor: TaskNetwork | None = None, *, fresh: bool = False
    ) -> int:
        task = AgentTask(
            number=0,
            fence=0,
            agent=self._agent_id,
            kind=kind,
            profile=self._profile,
            settings=self.settings,
            network=network,
            anchor=anchor,
            fresh=fresh,
        )
        sent = [file.sha256 for one in (network, anchor) if one is not None for file in one.files.values()]
        return self._store.agent_tasks.add(task, {sha256: self._paths[sha256] for sha256 in sent})

    def _done(self, number: int) -> tuple[int, int, Outcome]:
        """Number, fence and outcome of a task, as soon as it has ended."""
        looked_s = time.monotonic()
        told = False
        polls = 0
        try:
            while True:
                status = self._store.agent_tasks.poll(number)
                if status.outcome is not None:
                    self._store.agent_tasks.discard(number)
                    return number, status.fence, self._own(status.outcome)
                polls += 1
                time.sleep(_SHORT_POLL_S if polls < _SHORT_POLLS else _LONG_POLL_S)
                if time.monotonic() - looked_s >= _LOOK_FOR_AGENT_S:
                    looked_s = time.monotonic()
                    told = self._look_for_agent(told)
        except BaseException:
            self._store.agent_tasks.withdraw(number)
            raise

    def _own(self, outcome: Outcome) -> Outcome:
        """The outcome, unless it says that measuring as such is impossible."""
        if not isinstance(outcome, Fault) or outcome.code == "file-refused":
            return outcome
        if outcome.code == "device-changed":
            raise DeviceChangedError(outcome.message)
        raise MeasuringError(f"cannot measure on {self._profile.id}: {outcome.message}")

    def _look_for_agent(self, told: bool) -> bool:
        """Whether it was told that the agent is not there; gives up on one that is not seen for long."""
        agent = self._agent()
        silent_s = None if agent.last_seen is None else (self._store.clock() - agent.last_seen).total_seconds()
        if silent_s is not None and silent_s < ALIVE_S:
            return False
        seen = "was never connected" if silent_s is None else f"was last seen {silent_s:.0f} s ago"
        start = "start it there: hwnas agent --server URL --token TOKEN"
        if silent_s is None or silent_s > self._waiting.patience_s:
            raise AgentGoneError(f"agent {agent.name!r} {seen}, so {self._profile.id} cannot be measured; {start}.")
        if not told:
            self._say(f"waiting for agent {agent.name!r}, which {seen}; {start}.")
        return True

    def _agent(self) -> StoredAgent:
        agent = self._store.agents.find(self._profile.device)
        if agent is None or agent.revoked_at is not None:
            raise AgentGoneError(
                f"{self._profile.id} is a device of agent {self._profile.device!r}, which"
                f" {'is not known' if agent is None else 'was revoked'}; create one with `hwnas agents create NAME`."
            )
        return agent

    def _failure(self, files: NetworkFiles, failure: BenchFailure) -> MeasurementFailure:
        return MeasurementFailure(
            candidate_id=files.name,
            profile_id=self._profile.id,
            fingerprint=self._profile.fingerprint,
            stage=failure.stage,
            message=failure.message,
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )


def _unexpected(profile: DeviceProfile, outcome: Outcome) -> MeasuringError:
    what = outcome.message if isinstance(outcome, Fault) else f"it reported {type(outcome).__name__}"
    return MeasuringError(f"cannot measure on {profile.id}: {what}")
