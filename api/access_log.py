"""The access log: one JSON object per request."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.callers import caller_of
from api.trace_context import trace_of


class AccessLog:
    """ASGI middleware that writes a line for each request when its answer is complete or its client has left.

    Lines have no query string, as it may hold what is nobody's business, and of a key only its public id.
    """

    def __init__(self, app: ASGIApp, stream: TextIO, clock: Callable[[], float] = time.perf_counter) -> None:
        self._app = app
        self._stream = stream
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and writes its line."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status: int | None = None
        sent_bytes = 0
        start_s = self._clock()

        async def watch(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            client = scope.get("client")
            line = {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "client": None if client is None else client[0],
                "key": caller_of(scope).key_id,
                "method": scope["method"],
                "path": scope["path"],
                "trace": trace_of(scope),
                "status": status,
                "bytes": sent_bytes,
                "ms": round(1000 * (self._clock() - start_s), 3),
            }
            self._stream.write(json.dumps(line) + "\n")
            self._stream.flush()
