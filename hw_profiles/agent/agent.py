"""The agent's main loop: registers, then runs one task after another until it is stopped.

A lost connection is waited out: what was measured is reported when the service is back, and counts
if the task was not given out again. Time is measured by the monotonic clock alone; what time it is
only the service knows.
"""

import contextlib
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import ClassVar, Final, TypeVar

from hw_profiles.agent.files import TaskFiles
from hw_profiles.agent.service import (
    RegisteredSession,
    Service,
    ServiceRefusedError,
    ServiceUnreachableError,
    SignatureError,
)
from hw_profiles.agent.tasks import PROTOCOL, AgentDescription, AgentTask, TaskError, TaskFile
from hw_profiles.agent.workshop import Workshop
from hw_profiles.confinement import Confinement, ProcessLimits
from hw_profiles.detect import detect_profiles
from hw_profiles.profile import DeviceProfile
from search_spaces.errors import NasError, UsageError

try:
    import fcntl
except ImportError:  # not a POSIX system: two agents in one folder are not noticed
    fcntl = None  # type: ignore[assignment]

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0
_INSTALLATION: Final = "installation"

Answer = TypeVar("Answer")


class AgentError(NasError):
    """The agent cannot go on."""

    code: ClassVar[str] = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Settings of an agent."""

    folder: Path
    """Its own: downloaded files, what is compiled, logs."""
    name: str | None = None
    """The name that the token must be of; None takes whatever it is of."""
    threads: tuple[int, ...] = (1,)
    """Each runtime is offered as a device with each of these numbers of threads."""
    limits: ProcessLimits | None = None
    """For the process that runs artifacts; by default three quarters of the memory."""
    wait_s: float = 20.0
    """How long one request waits for a task."""


def run_agent(service: Service, settings: AgentSettings, say: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM: the first one ends after the task at hand, a second one at once.

    Raises:
        ServiceRefusedError: for a wrong token, another version, or another agent of the same name.
        AgentError: if another agent uses the folder, or this one was replaced by a newer process.
        UsageError: if there is no runtime here, or the token is another agent's.
    """
    with _only_one(settings.folder), _Signals() as signals:
        _Agent(service, settings, say, signals).run()


class _Signals:
    """SIGINT and SIGTERM: raised where nothing is at hand, else noted once."""

    def __init__(self) -> None:
        self.stopping = False
        self.idle = True

    def __enter__(self) -> "_Signals":
        self._previous = {number: signal.signal(number, self._on) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on(self, _number: int, _frame: FrameType | None) -> None:
        if self.idle or self.stopping:
            raise KeyboardInterrupt
        self.stopping = True


class _Agent:
    def __init__(
        self, service: Service, settings: AgentSettings, say: Callable[[str], None], signals: _Signals
    ) -> None:
        self._service = service
        self._settings = settings
        self._say = say
        self._signals = signals
        files = settings.folder / "files"
        self._confinement = Confinement.here(settings.folder / "work", readable=[files], limits=settings.limits)
        self._files = TaskFiles(files, service.download)

    def run(self) -> None:
        if not self._service.is_private:
            self._say(
                f"the connection to {self._service.url} is not encrypted: whoever reads it can report false"
                " measurements, but cannot make this agent run anything; use https."
            )
        if self._confinement.bubblewrap is None:
            self._say(
                "bubblewrap is not installed or not permitted here: networks run with limits on memory and files, but"
                " can reach the network and this user's files; install bubblewrap (Debian: apt install bubblewrap)."
            )
        workshop = Workshop(self._confinement.writable, self._fetch, self._confinement)
        with workshop, contextlib.suppress(KeyboardInterrupt):
            while not self._signals.stopping:
                self._serve(workshop)
        self._say("the agent ends.")

    def _serve(self, workshop: Workshop) -> None:
        """One session: until the devices change."""
        profiles = self._profiles()
        fingerprints = {profile.fingerprint for profile in profiles}
        session = self._patiently(lambda: self._service.register(self._about(profiles)))
        self._welcome(session)
        while not self._signals.stopping:
            now = {profile.on_host(session.name).id: profile for profile in self._profiles()}
            if {profile.fingerprint for profile in now.values()} != fingerprints:
                self._say("this machine's processor, runtimes or versions have changed: registering again.")
                return
            known = {name: profile.fingerprint for name, profile in now.items()}
            task = self._claimed(session, known)
            if task is not None:
                self._signals.idle = False
                self._work(workshop, task, {profile.fingerprint: profile for profile in now.values()})
                self._signals.idle = True

    def _claimed(self, session: RegisteredSession, fingerprints: dict[str, str]) -> AgentTask | None:
        wait_s = self._settings.wait_s
        try:
            return self._patiently(lambda: self._service.claim(session, fingerprints, wait_s))
        except (SignatureError, TaskError) as error:
            self._say(str(error))
            time.sleep(_LONGEST_PAUSE_S)
            return None
        except ServiceRefusedError as error:
            if error.problem == "agent-superseded":
                raise AgentError(f"{error}") from error
            raise

    def _work(self, workshop: Workshop, task: AgentTask, own: dict[str, DeviceProfile]) -> None:
        self._say(f"task {task.number}: {task.kind} {task.network.name[:12]} on {task.profile.id}")
        with _Heartbeat(self._service.another(), task, workshop.interrupt) as heart:
            try:
                outcome = workshop.run(task, own, lambda artifact: self._upload(task, artifact))
            except ServiceRefusedError as error:
                self._say(f"task {task.number} is dropped: {error}")
                return
            if heart.lost:
                self._say(f"task {task.number} was withdrawn or given out again; its result is dropped.")
                return
            try:
                self._patiently(lambda: self._service.report(task, outcome))
            except ServiceRefusedError as error:
                self._say(f"task {task.number}: {error}")

    def _fetch(self, file: TaskFile) -> Path:
        return self._patiently(lambda: self._files.get(file))

    def _upload(self, task: AgentTask, artifact: Path) -> None:
        self._patiently(lambda: self._service.upload(task, artifact))

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Asks until the service answers."""
        pause_s, said = _FIRST_PAUSE_S, False
        while True:
            try:
                answer = ask()
            except ServiceUnreachableError as error:
                if not said:
                    self._say(f"{error} The agent tries again until it does.")
                    said = True
                if self._signals.stopping:
                    raise KeyboardInterrupt from error
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                if said:
                    self._say(f"{self._service.url} answers again.")
                return answer

    def _welcome(self, session: RegisteredSession) -> None:
        wanted = self._settings.name
        if wanted is not None and wanted != session.name:
            raise UsageError(f"the token is of agent {session.name!r}, not of {wanted!r}; use that agent's own token.")
        self._say(f"agent {session.name!r} is registered at {self._service.url}: {', '.join(session.devices)}")
        for note in session.notes:
            self._say(note)

    def _about(self, profiles: tuple[DeviceProfile, ...]) -> AgentDescription:
        return AgentDescription(
            protocol=PROTOCOL,
            version=version("hwnas"),
            installation=_installation(self._settings.folder),
            confinement=self._confinement.name,
            profiles=profiles,
        )

    def _profiles(self) -> tuple[DeviceProfile, ...]:
        profiles = agent_profiles(self._settings.threads)
        if not profiles:
            raise UsageError("no runtime is installed here; install one: pip install onnxruntime.")
        return profiles


def agent_profiles(threads: tuple[int, ...]) -> tuple[DeviceProfile, ...]:
    """This machine's profiles, each with each number of threads that its cores allow."""
    return tuple(
        replace(profile, threads=count) for profile in detect_profiles() for count in threads if count <= profile.cores
    )


class _Heartbeat:
    """Extends a task's lease in a thread; calls ``on_lost`` once where the service says that it is lost."""

    def __init__(self, service: Service, task: AgentTask, on_lost: Callable[[], None]) -> None:
        self._service = service
        self._task = task
        self._on_lost = on_lost
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self.lost = False

    def __enter__(self) -> "_Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._service.close()

    def _beat(self) -> None:
        while not self._done.wait(self._task.lease_s / 3):
            try:
                self._service.heartbeat(self._task)
            except ServiceUnreachableError:
                continue  # the lease outlives a few of them; the report says what became of it
            except ServiceRefusedError:
                self.lost = True
                self._on_lost()
                return


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Holds a folder for one agent process; its end, however it comes, frees it.

    Raises:
        AgentError: if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        if fcntl is not None:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise AgentError(
                    f"another agent with this token is running here (it holds {folder}); stop it first."
                ) from error
        yield


def _installation(folder: Path) -> str:
    path = folder / _INSTALLATION
    if not path.exists():
        path.write_text(secrets.token_hex(16), "utf-8")
    return path.read_text("utf-8").strip()
