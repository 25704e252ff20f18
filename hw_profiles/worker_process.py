"""The parent's side of a measuring worker: requests with a deadline, killing and restarting."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from hw_profiles.confinement import Confinement
from hw_profiles.errors import MeasuringError, WorkerLostError
from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.registry import get_runtime

_LOG_TAIL_BYTES: Final = 2000
_WAIT_DEADLINE_S: Final = 3600.0
"""For other processes that measure, one candidate at a time each."""
_BY_SIGNAL: Final = 128
"""Added to the signal's number in the exit code that bubblewrap gives for a process that a signal ended."""
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerProcess:
    """A long-lived worker for one profile; started by the first request and after every loss.

    Its standard error goes to ``log``, whose end is quoted when it dies.
    """

    def __init__(
        self,
        profile: DeviceProfile,
        log: Path,
        *,
        start_deadline_s: float = 120.0,
        confinement: Confinement | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._profile = profile
        self._log = log
        self._start_deadline_s = start_deadline_s
        self._confinement = confinement
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._received = b""

    @property
    def pid(self) -> int | None:
        """Process id of the running worker; None where none runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def __enter__(self) -> "WorkerProcess":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Starts a worker where none runs and waits until it has imported its runtime.

        Raises:
            MeasuringError: if it does not come up.
        """
        if self.pid is not None:
            return
        self.close()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        threads = dict.fromkeys(_THREAD_VARIABLES, str(self._profile.threads))
        threads |= get_runtime(self._profile.runtime).environment(self._profile.threads)
        command = [sys.executable, "-m", "hw_profiles.worker", json.dumps(self._profile.as_json())]
        environment = dict(os.environ)
        if self._confinement is not None:
            command = self._confinement.command([*command, self._confinement.limits.to_json()])
            environment = self._confinement.environment(environment)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment | threads,
                # Ctrl-C is the parent's to handle; and a group of its own dies with its compilers.
                start_new_session=True,
            )
        self._received = b""
        try:
            reply = self._exchange({"command": "prepare"}, self._start_deadline_s)
        except WorkerLostError as error:
            raise MeasuringError(f"the worker of {self._profile.id} did not start: {error}") from error
        if not reply["ok"]:
            self.close()
            raise MeasuringError(f"the worker of {self._profile.id} did not start: {reply['message']}")

    def request(self, command: Mapping[str, Any], *, deadline_s: float) -> dict[str, Any]:
        """One command's reply. The deadline does not count the time that other processes measure.

        Raises:
            WorkerLostError: if the worker died or gave no reply in ``deadline_s``; it is killed.
            MeasuringError: if no worker comes up.
        """
        self.start()
        return self._exchange(command, deadline_s)

    def close(self) -> None:
        """Kills the worker and the compilers that it started; nothing of value is lost."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _exchange(self, command: Mapping[str, Any], deadline_s: float) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise WorkerLostError("the worker process is closed.", timed_out=False)
        with contextlib.suppress(BrokenPipeError):  # a dead worker shows as the end of its replies
            process.stdin.write(json.dumps(command).encode() + b"\n")
            process.stdin.flush()
        reply = self._line(process, str(command["command"]), deadline_s)
        while "waiting" in reply:  # another process measures; the deadline starts anew when it is done
            waits = bool(reply["waiting"])
            allowed_s = _WAIT_DEADLINE_S if waits else deadline_s
            try:
                reply = self._line(process, str(command["command"]), allowed_s)
            except WorkerLostError as error:
                if not (error.timed_out and waits):
                    raise
                raise MeasuringError(
                    f"another process has been measuring on this machine for {allowed_s:g} s; wait until it ends."
                ) from error
        return reply

    def _line(self, process: "subprocess.Popen[bytes]", doing: str, deadline_s: float) -> dict[str, Any]:
        if process.stdout is None:
            raise WorkerLostError("the worker process is closed.", timed_out=False)
        end = self._clock() + deadline_s
        while b"\n" not in self._received:
            left_s = end - self._clock()
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                ready = selector.select(max(left_s, 0.0))
            if not ready:
                self.close()
                raise WorkerLostError(f"{doing} gave no result in {deadline_s:g} s and was killed.", timed_out=True)
            chunk = os.read(process.stdout.fileno(), 1 << 20)
            if not chunk:
                raise self._died(process, doing)
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _died(self, process: subprocess.Popen[bytes], doing: str) -> WorkerLostError:
        code = process.wait()
        self.close()
        number = code - _BY_SIGNAL if self._confinement is not None and code > _BY_SIGNAL else -code
        how = f"by {signal.Signals(number).name}" if number in set(signal.Signals) else f"with exit code {code}"
        tail = _last_line(self._log)
        return WorkerLostError(
            f"the worker process ended {how} during {doing}" + (f"; its log ends: {tail}" if tail else "."),
            timed_out=False,
        )


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES, 0))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""
