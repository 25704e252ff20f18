"""HTTP methods of every route: OPTIONS, HEAD, and the Allow header of 405 (RFC 9110)."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import ProblemError

ASKED_BY_HEAD: Final = "hwnas.head"
"""In the scope of a HEAD request, which routes see as GET: answers may leave their body out early."""


class Methods:
    """ASGI middleware that answers for methods which routes do not take."""

    def __init__(self, app: ASGIApp, routes: Sequence[Route]) -> None:
        self._app = app
        self._routes = [(route.path_regex, frozenset(route.methods or ())) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on what a route takes, HEAD as GET."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        allowed = self._allowed(scope["path"])
        if not allowed:
            await self._app(scope, receive, send)
        elif method == "OPTIONS":
            await Response(status_code=HTTPStatus.NO_CONTENT, headers=_allow(allowed))(scope, receive, send)
        elif method not in allowed:
            detail = "this address does not take this method; the Allow header lists those it takes."
            problem = ProblemError(HTTPStatus.METHOD_NOT_ALLOWED, "method-not-allowed", detail, headers=_allow(allowed))
            await problem.response()(scope, receive, send)
        elif method == "HEAD":
            inner = {**scope, "method": "GET", ASKED_BY_HEAD: True}
            try:
                await self._app(inner, receive, _without_body(send))
            finally:
                if "route" in inner:  # which metrics count by
                    scope["route"] = inner["route"]
        else:
            await self._app(scope, receive, send)

    def _allowed(self, path: str) -> frozenset[str]:
        allowed = {method for regex, methods in self._routes if regex.match(path) for method in methods}
        if "GET" in allowed:
            allowed.add("HEAD")
        return frozenset(allowed | {"OPTIONS"} if allowed else ())


def _allow(methods: frozenset[str]) -> dict[str, str]:
    return {"Allow": ", ".join(sorted(methods))}


def _without_body(send: Send) -> Send:
    async def headers_only(message: Message) -> None:
        await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

    return headers_only
