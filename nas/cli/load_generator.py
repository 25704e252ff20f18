"""An HTTP load generator: a fixed number of connections, each with one request after another."""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast

import httpx
import numpy as np

from search_spaces.errors import NasError

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END_OF_HEADERS: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The requests to send, and for how long."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    """What every answer must be."""
    connections: int = 16
    seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFigures:
    """Results of a load test."""

    requests: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    wrong: int
    """Answers with another status."""


def run_load(load: Load) -> LoadFigures:
    """Asks until the time is over; the load generator takes a part of the same cores.

    Raises:
        NasError: if the address cannot be asked or closes connections.
    """
    return asyncio.run(_run(load))


async def _run(load: Load) -> LoadFigures:
    url = httpx.URL(load.url)
    headers = {"Host": url.netloc.decode()} | dict(load.headers)
    lines = [f"GET {url.raw_path.decode()} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    request = "\r\n".join([*lines, "", ""]).encode()
    loop = asyncio.get_running_loop()
    start_s = time.perf_counter()
    connections: list[_Connection] = []
    try:
        for _ in range(load.connections):
            _, connection = await loop.create_connection(
                lambda: _Connection(request, load.status, start_s + load.seconds), url.host, url.port or 80
            )
            connections.append(connection)
        await asyncio.gather(*(connection.done for connection in connections))
    except OSError as error:
        raise NasError(f"{load.url} cannot be asked: {error}") from error
    finally:
        for connection in connections:
            connection.close()
    spent_s = time.perf_counter() - start_s
    seconds = np.concatenate([np.array(connection.seconds) for connection in connections])
    if not len(seconds):
        raise NasError(f"{load.url} did not answer within {load.seconds:g} s.")
    return LoadFigures(
        requests=len(seconds),
        requests_per_s=len(seconds) / spent_s,
        p50_ms=1000 * float(np.quantile(seconds, 0.5)),
        p99_ms=1000 * float(np.quantile(seconds, 0.99)),
        wrong=sum(connection.wrong for connection in connections),
    )


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer to the one before is complete."""

    def __init__(self, request: bytes, status: int, until_s: float) -> None:
        self._request = request
        self._status = str(status).encode()
        self._until_s = until_s
        self._received = bytearray()
        self._asked_s = 0.0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.seconds: list[float] = []
        self.wrong = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # TCP's is one
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEADERS)
        if end < 0:
            return
        length = _LENGTH.search(self._received, 0, end)
        if len(self._received) < end + len(_END_OF_HEADERS) + (int(length[1]) if length else 0):
            return
        now_s = time.perf_counter()
        self.seconds.append(now_s - self._asked_s)
        self.wrong += self._received[9:12] != self._status
        self._received.clear()
        if now_s < self._until_s:
            self._ask()
        elif not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the service closed a connection"))

    def close(self) -> None:
        """Ends the connection; what is still to come is not waited for."""
        if not self.done.done():
            self.done.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _ask(self) -> None:
        if self._transport is not None:
            self._asked_s = time.perf_counter()
            self._transport.write(self._request)
