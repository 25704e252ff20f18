"""The service and its workers as processes that are killed and stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from nas.workflows.chaos.plan import PlannedJob

_REQUEST_S: Final = 20.0
_LEAVE_S: Final = 60.0
STALE: Final = "is no longer held under fence"
"""In a worker's log: what it wanted to write was refused, as its job had gone to another."""


@dataclass(slots=True)
class ServiceProcesses:
    """A service without a worker of its own, and workers."""

    environment: Mapping[str, str]
    folder: Path
    lease_s: float
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    paused: dict[int, tuple["subprocess.Popen[bytes]", float]] = field(default_factory=dict)
    """By process id, and when it continues."""
    leaving: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    """Workers that were paused and replaced."""
    server: "subprocess.Popen[bytes] | None" = None
    port: int = 0

    @property
    def log(self) -> Path:
        """What workers and services write to standard error."""
        return self.folder / "processes.log"

    def start_server(self) -> None:
        """Starts the service, on the port that it had before; it answers a few seconds later."""
        if self.port == 0:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        self.server = self._start("serve", "--no-worker", "--port", str(self.port), "--max-queued", "100000")

    def kill_server(self) -> None:
        """Kills the service and starts another one."""
        if self.server is not None:
            self.server.kill()
            self.server.wait()
        self.start_server()

    def start_worker(self) -> None:
        """Starts one more worker."""
        self.workers.append(self._start("worker", "--lease-s", str(self.lease_s)))

    def kill_worker(self, process: "subprocess.Popen[bytes]") -> None:
        """Kills a worker and starts another one."""
        self.workers.remove(process)
        process.kill()
        process.wait()
        self.start_worker()

    def pause_worker(self, process: "subprocess.Popen[bytes]") -> None:
        """Stops a worker for more than twice its lease, and starts another one."""
        self.workers.remove(process)
        process.send_signal(signal.SIGSTOP)
        self.paused[process.pid] = (process, time.monotonic() + 2.5 * self.lease_s)
        self.start_worker()

    def tend(self) -> None:
        """Continues workers that were paused for long enough, and replaces what died."""
        now_s = time.monotonic()
        for pid, (process, until_s) in list(self.paused.items()):
            if now_s >= until_s:
                del self.paused[pid]
                process.send_signal(signal.SIGCONT)
                # It was replaced: it is to finish, give back or lose what it has and leave.
                process.send_signal(signal.SIGTERM)
                self.leaving.append(process)
        for process in list(self.workers):
            if process.poll() is not None:
                self.workers.remove(process)
                self.start_worker()
        if self.server is not None and self.server.poll() is not None:
            self.start_server()

    def send(self, job: PlannedJob, key: str) -> dict[str, Any] | None:
        """Asks for a job; None if there was no answer, so that it is to be asked for again with the same key."""
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{self.port}{job.path}",
                json=job.body,
                headers={"Idempotency-Key": key},
                timeout=_REQUEST_S,
            )
        except httpx.TransportError:
            return None
        if answer.status_code in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE):
            return None
        answer.raise_for_status()
        document: dict[str, Any] = answer.json()
        return document

    def end(self) -> None:
        """Ends everything: workers finish what they have."""
        for process, _ in self.paused.values():
            process.send_signal(signal.SIGCONT)
        everyone = [*self.workers, *self.leaving, *(process for process, _ in self.paused.values())]
        if self.server is not None:
            everyone.append(self.server)
        for process in everyone:
            process.terminate()
        for process in everyone:
            try:
                process.wait(timeout=_LEAVE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def refused_writes(self) -> int:
        """How often a worker was told that its job had gone to another."""
        return self.log.read_text("utf-8", "replace").count(STALE)

    def _start(self, *words: str) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "nas.cli", *words],
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
