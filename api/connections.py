"""Limits on the number and duration of connections, against idle or slow clients."""

import asyncio
import resource
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api.problems import PROBLEM_JSON, ProblemError

_MOST: Final = 1000
_RESERVED_FILES: Final = 128
"""For the database, artifacts that are sent, and connections that were accepted and not yet counted."""
_FEWEST: Final = 16
MAX_HEADER_BYTES: Final = 64 << 10


def _connections_by_open_files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else max(_FEWEST, min(_MOST, soft - _RESERVED_FILES))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """Limits on the connections of clients."""

    connections: int = field(default_factory=_connections_by_open_files)
    """Open at once. One more closes the one that has been idle longest; if none is idle, it gets 503."""
    header_s: float = 10.0
    """From a connection's or a request's first moment to the end of its headers."""
    body_s: float = 30.0
    """From the end of the headers to the end of the body."""
    drain_s: int = 10
    """For requests at hand when the service ends."""


def protocol_within(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """The protocol of a server whose connections have these limits."""

    class Protocol(BoundedProtocol):
        connection_limits = limits

    return Protocol


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with :class:`ConnectionLimits`."""

    connection_limits: ConnectionLimits

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._awaited: tuple[str, object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since = 0.0
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Makes room for the connection or refuses it."""
        super().connection_made(cast("asyncio.Transport", transport))  # TCP's is one
        self._idle_since = self.loop.time()
        self._watch()
        if len(self.connections) <= self.connection_limits.connections:
            return
        idle = [other for other in self.connections if isinstance(other, BoundedProtocol) and other._is_idle(self)]
        if idle:
            min(idle, key=lambda other: other._idle_since)._drop()
        else:
            detail = f"all {self.connection_limits.connections} connections of this service are busy; try again later."
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too-many-connections", detail)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends its timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses, then sets the clock for what is still to come, and bounds headers."""
        super().data_received(data)
        self._watch()
        if self._awaited is None or self._awaited[0] != "headers":
            self._header_bytes = 0
            return
        self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            detail = f"the headers are larger than the {MAX_HEADER_BYTES} bytes that this service takes."
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", detail)

    def on_response_complete(self) -> None:
        """Starts a time of idleness."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def shutdown(self) -> None:
        """Does not wait for the rest of a request: nobody is there to answer it."""
        if self._awaited is not None and self._awaited[0] == "body":
            self.transport.close()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """A problem document for what is no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, "invalid-http", f"{msg.rstrip('.')}: it is not HTTP/1.1.")

    def _is_idle(self, but: "BoundedProtocol") -> bool:
        at_hand = self.cycle is not None and not self.cycle.response_complete
        return self is not but and not at_hand and not self.transport.is_closing()

    def _drop(self) -> None:
        self.connections.discard(self)  # it counts no longer, though it is lost a moment later
        self.transport.abort()

    def _watch(self) -> None:
        """One timer for the part of a request that is awaited; it runs on while that stays the same."""
        awaited = self._now_awaited()
        if awaited == self._awaited:
            return
        self._stop_timer()
        self._awaited = awaited
        if awaited is not None:
            limits = self.connection_limits
            seconds = limits.header_s if awaited[0] == "headers" else limits.body_s
            self._timer = self.loop.call_later(seconds, self._too_late)

    def _now_awaited(self) -> tuple[str, object] | None:
        cycle: RequestResponseCycle | None = self.cycle
        if self.transport.is_closing():
            return None
        if cycle is None or cycle.response_complete:
            return ("headers", cycle)
        return ("body", cycle) if cycle.more_body else None

    def _too_late(self) -> None:
        if self._now_awaited() != self._awaited or self._awaited is None:
            return
        detail = f"the {self._awaited[0]} of the request did not come in time."
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request-timeout", detail)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: HTTPStatus, code: str, detail: str) -> None:
        """Answers without the application and closes, unless an answer is on its way already."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            body = bytes(ProblemError(status, code, detail).response().body)
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {PROBLEM_JSON}\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
        self._stop_timer()
        self.transport.close()
