"""Agents as real processes, for tests that serve a store."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hw_profiles.network_files import NetworkFiles

_PATIENCE_S = 120.0


def tiny_network(folder: Path, name: str = "network") -> NetworkFiles:
    """One matrix product as ONNX, with what it computes; made without torch."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((16, 10)).astype(np.float32)
    images = rng.standard_normal((4, 1, 4, 4)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["out"])],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 1, 4, 4))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, (1, 10))],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / f"{name}.onnx")
    np.savez(folder / f"{name}.npz", input=images, output=images.reshape(4, 16) @ weights)
    return NetworkFiles(name=name, onnx=folder / f"{name}.onnx", reference=folder / f"{name}.npz")


@dataclass(slots=True)
class ShiftedClock:
    """The system's clock, moved forward when told."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def forward(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


class AgentProcess:
    """A running ``hwnas agent`` and what it said."""

    def __init__(self, arguments: list[str], prelude: str = "", environment: dict[str, str] | None = None) -> None:
        """``prelude`` is run before the command, in its process."""
        code = f"{prelude}\nimport sys\nfrom nas.cli.main import run\nsys.exit(run(sys.argv[1:]))"
        self.said: list[str] = []
        variables = {name: value for name, value in os.environ.items() if not name.startswith("HWNAS_")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "agent", *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=variables | (environment or {}),
        )

    def wait_for(self, text: str) -> str:
        """The next line that has this text; fails where the process ends without it."""
        with self._watched():
            for line in self.process.stderr:
                self.said.append(line.rstrip("\n"))
                if text in line:
                    return self.said[-1]
        raise AssertionError(f"the agent never said {text!r}: {self.said}")

    def end(self) -> tuple[int, list[str]]:
        """Waits until it ends by itself; its exit code and all that it said."""
        with self._watched():
            self.said += self.process.stderr.read().splitlines()
            return self.process.wait(), self.said

    def kill(self, how: int = signal.SIGKILL) -> None:
        self.process.send_signal(how)
        if how == signal.SIGKILL:
            self.process.wait()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        watchdog = threading.Timer(_PATIENCE_S, self.process.kill)
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()


@contextmanager
def running_agent(
    url: str, token: str, folder: Path, *options: str, prelude: str = "", environment: dict[str, str] | None = None
) -> Iterator[AgentProcess]:
    """An agent that is killed at the end; nobody waits here for it to register."""
    arguments = ["--server", url, "--folder", str(folder), *options]
    process = AgentProcess(arguments, prelude, {"HWNAS_AGENT_TOKEN": token} | (environment or {}))
    try:
        yield process
    finally:
        process.kill()
        process.process.stderr.close()
