"""A Ray cluster of two nodes on loopback, of which one can be killed."""

import contextlib
import importlib.util
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAM = Path(sys.executable).parent / "ray"


def missing_ray() -> str | None:
    """Why there can be no cluster here, or None."""
    return None if importlib.util.find_spec("ray") and PROGRAM.exists() else "Ray is not installed (extra: ray)"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Two nodes with one core each."""

    address: str
    second: "subprocess.Popen[bytes]"

    def kill_second(self) -> None:
        _kill(self.second)


_TOKEN = secrets.token_hex(32)
"""For all clusters of a process: Ray reads the token once and keeps it."""


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Nodes with addresses of their own: 127.0.0.1 would be rewritten to the host's."""
    with socket.socket() as free:
        free.bind(("127.0.0.2", 0))
        port = free.getsockname()[1]
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ["RAY_AUTH_TOKEN"] = _TOKEN
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    address = f"127.0.0.2:{port}"
    head = ("--head", "--node-ip-address=127.0.0.2", f"--port={port}", "--include-dashboard=false")
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        nodes.append(_started(*head))
        nodes.append(_started(f"--address={address}", "--node-ip-address=127.0.0.3"))
        yield Cluster(address, nodes[1])
    finally:
        for node in reversed(nodes):
            _kill(node)
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            del os.environ[name]


def _started(*words: str) -> "subprocess.Popen[bytes]":
    command = [PROGRAM, "start", *words, "--num-cpus=1", "--object-store-memory=100000000", "--block"]
    node = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    assert node.stdout is not None
    seen = b""
    for line in node.stdout:
        seen += line
        if b"Ray runtime started" in line:
            return node
    raise RuntimeError(seen.decode()[-2000:])


def _kill(node: "subprocess.Popen[bytes]") -> None:
    """With everything that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in (*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    node.wait()
    if node.stdout is not None:
        node.stdout.close()
