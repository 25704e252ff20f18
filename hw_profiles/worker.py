"""The measuring worker: ``python -m hw_profiles.worker PROFILE_JSON [LIMITS_JSON]``, one JSON object per line.

A reply may be preceded by lines with ``waiting``: true while another process measures, then false; that time is
not the candidate's.

It compiles, checks, runs and times for one profile, and may be killed at any moment: it owns
nothing but the files that it writes. Its standard output is the reply channel; whatever
compilers and runtimes print goes to standard error, which its parent keeps in a log.
"""

import json
import math
import os
import queue
import sys
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

from hw_profiles.agreement import read_reference
from hw_profiles.confinement import ProcessLimits
from hw_profiles.environment import ENVIRONMENT, is_fault_of_environment
from hw_profiles.errors import CompileError, CompileWarning, DisagreementError
from hw_profiles.footprint import measure_footprint
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile
from hw_profiles.runtimes.protocol import Executable, FloatArray, Runtime
from hw_profiles.runtimes.registry import get_runtime
from hw_profiles.timing_lock import TimingLock
from search_spaces.precision import SPECS

Reply = dict[str, Any]

_KEPT_EXECUTABLES: Final = 2
"""The anchor and the candidate at hand."""

_LEAD_IN_CALLS: Final = 3
"""Untimed calls after each change of network, which bring its code and weights into the caches."""


class Worker:
    """Executes requests for one profile."""

    def __init__(
        self, profile: DeviceProfile, runtime: Runtime, notify: Callable[[Reply], None] = lambda _notice: None
    ) -> None:
        self._profile = profile
        self._runtime = runtime
        self._loaded: OrderedDict[tuple[str, int, int], Executable] = OrderedDict()
        self._lock = TimingLock(on_wait=lambda waiting: notify({"waiting": waiting}))
        self._commands: dict[str, Callable[[Mapping[str, Any]], Reply]] = {
            "prepare": self._prepare,
            "compile": self._compile,
            "footprint": self._footprint,
            "check": self._check,
            "classify": self._classify,
            "time": self._time,
        }

    def answer(self, request: Mapping[str, Any]) -> Reply:
        """The reply to one request; an exception becomes a reply, too."""
        try:
            return {"ok": True} | self._commands[request["command"]](request)
        except DisagreementError as error:
            return {"ok": False, "stage": "check", "message": str(error)}
        except Exception as error:  # noqa: BLE001 - the batch goes on whatever a candidate does
            stage = "compile" if request.get("command") == "compile" else "run"
            if is_fault_of_environment(error):
                stage = ENVIRONMENT
            return {"ok": False, "stage": stage, "message": str(error) or type(error).__name__}

    def _prepare(self, request: Mapping[str, Any]) -> Reply:
        del request
        self._runtime.prepare()
        return {}

    def _compile(self, request: Mapping[str, Any]) -> Reply:
        files = NetworkFiles.from_json(request["files"])
        if files.quantized and not any(SPECS[precision].quantized for precision in self._profile.precisions):
            raise CompileError(f"{self._profile.id} executes no integer precision, and {files.name} is quantized.")
        files.require_graph()
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", CompileWarning)
            artifact = self._runtime.compile(files, self._profile, Path(request["folder"]))
        notes = [str(warning.message) for warning in caught]
        for note in notes:
            print(f"{files.name}: {note}", file=sys.stderr, flush=True)  # noqa: T201 - the log
        return {"artifact": str(artifact), "compile_s": time.perf_counter() - start, "warnings": notes}

    def _footprint(self, request: Mapping[str, Any]) -> Reply:
        """Loads the artifact afresh; what :meth:`_check` and :meth:`_time` use is the last load."""
        key = _key(request["artifact"])
        self._loaded.pop(key, None)
        image = _timed_image(request["reference"])
        with self._lock:
            footprint, executable = measure_footprint(self._runtime, self._profile, Path(request["artifact"]), image)
        self._keep(key, executable)
        return asdict(footprint)

    def _check(self, request: Mapping[str, Any]) -> Reply:
        executable = self._load(request["artifact"])
        return asdict(self._runtime.check(executable, NetworkFiles.from_json(request["files"])))

    def _classify(self, request: Mapping[str, Any]) -> Reply:
        """The class of each image, float32 ``(n, C, H, W)`` in an npy file: the index of the largest output."""
        executable = self._load(request["artifact"])
        images = np.load(request["images"], allow_pickle=False)
        return {"classes": [int(executable.run(images[row : row + 1])[0].argmax()) for row in range(len(images))]}

    def _time(self, request: Mapping[str, Any]) -> Reply:
        """Interleaves rounds of the networks.

        ``samples_ms[network][round]`` is a list of single calls, ``busy[round]`` the share
        of that round's time for which this thread had a core: less than 1 where others ran.
        """
        with self._lock:
            networks = [(self._load(artifact), _timed_image(reference)) for artifact, reference in request["networks"]]
            calls = [_calls_a_round(executable, image, request) for executable, image in networks]
            samples: list[list[list[float]]] = [[] for _ in networks]
            busy: list[float] = []
            for _ in range(request["rounds"]):
                wall_s, core_s = time.perf_counter(), time.thread_time()
                for index, (executable, image) in enumerate(networks):
                    executable.time(image, calls=_LEAD_IN_CALLS)
                    samples[index].append(executable.time(image, calls=calls[index]))
                busy.append((time.thread_time() - core_s) / (time.perf_counter() - wall_s))
        return {"samples_ms": samples, "busy": busy}

    def _load(self, artifact: str) -> Executable:
        key = _key(artifact)
        executable = self._loaded.get(key) or self._runtime.load(Path(artifact), self._profile)
        self._keep(key, executable)
        return executable

    def _keep(self, key: tuple[str, int, int], executable: Executable) -> None:
        self._loaded[key] = executable
        self._loaded.move_to_end(key)
        while len(self._loaded) > _KEPT_EXECUTABLES:
            self._loaded.popitem(last=False)


def _key(artifact: str) -> tuple[str, int, int]:
    """What tells a file from another one that took its name."""
    status = Path(artifact).stat() if Path(artifact).exists() else None
    return (artifact, status.st_ino, status.st_mtime_ns) if status else (artifact, 0, 0)


def _timed_image(reference: str) -> FloatArray:
    with_input, _ = read_reference(NetworkFiles(name="", onnx=Path(), reference=Path(reference)))
    return with_input[:1].copy()


def _calls_a_round(executable: Executable, image: FloatArray, request: Mapping[str, Any]) -> int:
    """Warms up for ``warmup_ms`` and returns how many calls fill ``round_ms``, within the limits."""
    spent_ms, calls, latest_ms = 0.0, 1, 0.0
    while spent_ms < request["warmup_ms"]:
        readings_ms = executable.time(image, calls=calls)
        spent_ms += sum(readings_ms)
        latest_ms = sorted(readings_ms)[len(readings_ms) // 2]
        calls = min(2 * calls, 64)
    wanted = math.ceil(float(request["round_ms"]) / max(latest_ms, 1e-6))
    fewest, most = int(request["min_calls"]), int(request["max_calls"])
    return min(max(wanted, fewest), most)


def serve(profile: DeviceProfile, requests: TextIO, replies: TextIO) -> None:
    """Answers requests until the reply channel breaks; the end of ``requests`` ends the process at once.

    Requests are read in a thread of their own so that a worker whose parent died ends
    even in the middle of a compilation.
    """
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in requests:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()

    def send(reply: Reply) -> None:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    worker = Worker(profile, get_runtime(profile.runtime), send)
    while True:
        send(worker.answer(json.loads(lines.get())))


def main() -> None:
    """Entry point of the process."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if len(sys.argv) > 2:
        ProcessLimits.from_json(sys.argv[2]).apply()
    serve(DeviceProfile.from_json(json.loads(sys.argv[1])), sys.stdin, replies)


if __name__ == "__main__":
    main()
