"""Rejects requests for other host names (protection against DNS rebinding).

A page whose own name is made to point to 127.0.0.1 is same-site with the service on that address: the browser lets
it read everything. Its requests still carry that name in their Host header.
"""

from collections.abc import Collection
from functools import lru_cache
from http import HTTPStatus

from starlette.types import ASGIApp, Receive, Scope, Send

from api.loopback import is_loopback
from api.problems import ProblemError


class KnownHosts:
    """ASGI middleware: 421 unless the Host header has a name of the loopback address or one of these, with any port.

    Requests without the header, which no browser sends, are passed on.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        known = frozenset(name.lower().rstrip(".") for name in names)

        @lru_cache(maxsize=64)
        def is_known(value: bytes) -> bool:
            name = host_name(value.decode("latin-1"))
            return name in known or is_loopback(name)

        self._app = app
        self._is_known = is_known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on requests for this host."""
        if scope["type"] == "http":
            for header, value in scope["headers"]:
                if header == b"host" and not self._is_known(value):
                    await _refusal(value).response()(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def host_name(value: str) -> str:
    """The name or address in a Host header's value, in lower case, without brackets and port."""
    if value.startswith("["):
        return value[1:].partition("]")[0].lower()
    return value.partition(":")[0].lower().rstrip(".")


def _refusal(value: bytes) -> ProblemError:
    name = host_name(value.decode("latin-1"))[:100]
    detail = (
        f"the Host header names {name!r}, and without API keys this service answers on loopback only: ask it as"
        " localhost or 127.0.0.1, or start it with --allow-host NAME or --require-keys."
    )
    return ProblemError(HTTPStatus.MISDIRECTED_REQUEST, "misdirected-request", detail)
