"""A runtime whose artifacts do what their bytes say: what a device must survive."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hw_profiles.agreement import Agreement
from hw_profiles.errors import ArtifactError, CompileError
from hw_profiles.network_files import NetworkFiles
from hw_profiles.profile import DeviceProfile, Execution, Precision
from hw_profiles.runtimes.protocol import Executable, FloatArray, Runtime


class Harmless:
    def run(self, image: FloatArray) -> FloatArray:
        return np.zeros((len(image), 10), np.float32)

    def time(self, image: FloatArray, *, calls: int) -> list[float]:  # noqa: ARG002
        return [1.0] * calls


class HostileRuntime(Runtime):
    """Registered in ``entry_points.txt`` as ``hostile = hwnas_hostile:HostileRuntime``."""

    name = "hostile"
    version = "1"
    artifact_kind = "hostile"
    artifact_suffix = ".deed.txt"

    def precisions(self, isa: tuple[str, ...]) -> Mapping[Precision, Execution]:  # noqa: ARG002
        return {"fp32": "native"}

    def prepare(self) -> None:
        """Nothing."""

    def compile(self, files: NetworkFiles, profile: DeviceProfile, folder: Path) -> Path:  # noqa: ARG002
        if not files.onnx.is_file():
            raise CompileError("no graph")
        artifact = folder / f"{files.name}.{self.name}{self.artifact_suffix}"
        artifact.write_text("nothing " + "x" * 1_500_000)
        return artifact

    def load(self, artifact: Path, profile: DeviceProfile) -> Executable:  # noqa: ARG002
        deed, _, detail = artifact.read_text().partition(" ")
        said = DEEDS[deed](detail)
        if said is not None:
            raise ArtifactError(said)
        return Harmless()

    def check(self, executable: Executable, files: NetworkFiles) -> Agreement:  # noqa: ARG002
        return Agreement(max_abs_error=0.0, top1_agreement=1.0)


def _crash(_detail: str) -> None:
    os.abort()


def _hang(_detail: str) -> None:
    while True:
        pass


def _memory(detail: str) -> str:
    try:
        return f"took {len(bytearray(int(detail)))} bytes"
    except MemoryError:
        return "memory refused"


def _network(detail: str) -> str:
    try:
        socket.create_connection(("127.0.0.1", int(detail)), timeout=5).close()
    except OSError:
        return "network refused"
    return "network reached"


def _write(detail: str) -> str:
    try:
        Path(detail).write_text("was here")
    except OSError:
        return "writing refused"
    return "wrote"


def _spy(detail: str) -> str:
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            if detail.encode() in process.read_bytes():
                return "found the token"
        except OSError:
            continue
    return "no token found"


DEEDS = {
    "nothing": lambda _detail: None,
    "crash": _crash,
    "hang": _hang,
    "memory": _memory,
    "network": _network,
    "write": _write,
    "spy": _spy,
}
