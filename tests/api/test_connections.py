"""Clients that are many, idle or slow."""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from api.connections import MAX_HEADER_BYTES, ConnectionLimits
from api.server import running
from api.settings import ServiceSettings
from nas.home import Home
from nas.store import open_store
from tests.api.test_server import SERVE

_BODY_TO_COME = (
    b"POST /v1/searches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
)


def _connect(url: str) -> socket.socket:
    address = httpx.URL(url)
    return socket.create_connection((address.host, address.port or 0), timeout=60)


def _rest(connection: socket.socket) -> bytes:
    """What comes until the service closes the connection."""
    with contextlib.suppress(ConnectionResetError):
        return b"".join(iter(lambda: connection.recv(65536), b""))
    return b""


@contextlib.contextmanager
def _served(home: Path, limits: ConnectionLimits) -> Iterator[str]:
    with (
        open_store(home / "hwnas.db") as store,
        running(store, Home(home), settings=ServiceSettings(limits=limits)) as url,
    ):
        yield url


def test_more_connections_than_the_limit_close_those_that_are_idle_longest(tmp_path: Path) -> None:
    with _served(tmp_path, ConnectionLimits(connections=5)) as url, ExitStack() as stack:
        busy = stack.enter_context(_connect(url))
        busy.sendall(_BODY_TO_COME)
        idle = [stack.enter_context(_connect(url)) for _ in range(12)]
        assert httpx.get(f"{url}/livez").status_code == 200
        assert _rest(idle[0]) == b""
        busy.sendall(b"}" + b" " * 97)
        assert b" 422 " in busy.recv(65536).splitlines()[0]


def test_a_connection_beyond_those_that_are_busy_is_told_to_come_again(tmp_path: Path) -> None:
    with _served(tmp_path, ConnectionLimits(connections=3)) as url, ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(_connect(url)).sendall(
                _BODY_TO_COME.replace(b"\r\n\r\n{", b"\r\nExpect: 100-continue\r\n\r\n")
            )
        # Each has been told to go on: its request is at hand.
        answer = _rest(stack.enter_context(_connect(url)))
        while b"too-many-connections" not in answer:
            answer = _rest(stack.enter_context(_connect(url)))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    ("sent", "part"),
    [
        (b"", b"headers"),
        (b"\r\n", b"headers"),
        (b"GET /livez HTTP/1.1\r\nHost", b"headers"),
        (_BODY_TO_COME, b"body"),
    ],
)
def test_a_request_that_does_not_come_in_time_is_ended(tmp_path: Path, sent: bytes, part: bytes) -> None:
    limits = ConnectionLimits(header_s=0.2, body_s=0.2)
    with _served(tmp_path, limits) as url, _connect(url) as connection:
        connection.sendall(sent)
        answer = _rest(connection)
        assert b"HTTP/1.1 408 " in answer
        assert b"the " + part in answer


@pytest.mark.parametrize("start", [b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: ", b"GET /"])
def test_headers_without_end_are_refused(tmp_path: Path, start: bytes) -> None:
    with _served(tmp_path, ConnectionLimits()) as url, _connect(url) as connection:
        connection.sendall(start)
        answer = b""
        with contextlib.suppress(ConnectionError):
            for _ in range(5 * MAX_HEADER_BYTES // 4096):
                connection.sendall(b"x" * 4096)
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(65536)
        assert not answer or answer.startswith(b"HTTP/1.1 431 ")
        assert httpx.get(f"{url}/livez").status_code == 200


def test_a_connection_is_used_again_and_what_is_no_http_is_a_problem(tmp_path: Path) -> None:
    with _served(tmp_path, ConnectionLimits()) as url:
        with httpx.Client(base_url=url) as client:
            assert [client.get("/livez").status_code for _ in range(3)] == [200, 200, 200]
        with _connect(url) as connection:
            connection.sendall(b"\x16\x03\x01 no http\r\n\r\n")
            answer = _rest(connection)
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert b"urn:hwnas:problem:invalid-http" in answer


def _serve(home: Path, open_files: int | None = None) -> tuple["subprocess.Popen[str]", str]:
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({open_files},) * 2)" if open_files else ""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{limit}\n{SERVE}", str(home)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_request_without_its_end_does_not_keep_the_service_from_ending(tmp_path: Path) -> None:
    process, url = _serve(tmp_path)
    with _connect(url) as connection:
        connection.sendall(_BODY_TO_COME.replace(b"\r\n\r\n{", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out, errors) == (0, "closed\n", "")


def test_three_hundred_idle_connections_with_256_open_files(tmp_path: Path) -> None:
    process, url = _serve(tmp_path, open_files=256)
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(_connect(url))
        assert httpx.get(f"{url}/readyz").json() == {"status": "ok"}
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out, errors) == (0, "closed\n", "")
