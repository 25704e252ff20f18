"""W3C Trace Context: the trace of a request.

https://www.w3.org/TR/trace-context/
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

_TRACE: Final = "hwnas.trace_id"
_TRACEPARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_ZEROS: Final = re.compile(rb"0+")


class TraceContext:
    """ASGI middleware: gives each request the trace of its ``traceparent`` header, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] == "http":
            values = [value for name, value in scope["headers"] if name == b"traceparent"]
            given = parse_traceparent(values[0]) if len(values) == 1 else None
            scope[_TRACE] = given or secrets.token_hex(16)
        await self._app(scope, receive, send)


def parse_traceparent(value: bytes) -> str | None:
    """The trace id of the header's value, 32 hexadecimal digits; None if it is not valid."""
    found = _TRACEPARENT.fullmatch(value)
    if found is None:
        return None
    version, trace_id, parent_id, more = found.groups()
    is_zero = _ZEROS.fullmatch(trace_id) is not None or _ZEROS.fullmatch(parent_id) is not None
    if version == b"ff" or is_zero or (version == b"00" and more is not None):
        return None
    return trace_id.decode("ascii")


def trace_of(scope: Mapping[str, Any]) -> str | None:
    """The trace id of the request with this ASGI scope."""
    trace_id: str | None = scope.get(_TRACE)
    return trace_id
