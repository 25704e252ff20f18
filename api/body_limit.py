"""Size limits of requests, which protect memory and CPU."""

from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import ProblemError
from api.streamed_bodies import streams_body

MAX_BODY_BYTES: Final = 1 << 20
MAX_QUERY_BYTES: Final = 8 << 10


class BodyLimit:
    """ASGI middleware: 413 for a body over :data:`MAX_BODY_BYTES`, 414 for a query over :data:`MAX_QUERY_BYTES`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses by the headers, or reads a body up to the bound before the application sees it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if len(scope["query_string"]) > MAX_QUERY_BYTES:
            detail = f"the query is larger than the {MAX_QUERY_BYTES} bytes that this service takes."
            await ProblemError(HTTPStatus.REQUEST_URI_TOO_LONG, "query-too-long", detail).response()(
                scope, receive, send
            )
            return
        if streams_body(scope):
            await self._app(scope, receive, send)
            return
        if _declared_bytes(scope) > MAX_BODY_BYTES:
            await _refuse(scope, receive, send)
            return
        body = bytearray()
        message: Message = {"type": "http.request", "more_body": True}
        while message["type"] == "http.request" and message.get("more_body", False):
            message = await receive()
            body += message.get("body", b"")
            if len(body) > MAX_BODY_BYTES:
                await _refuse(scope, receive, send)
                return
        if message["type"] == "http.disconnect":
            return
        await self._app(scope, _replay(bytes(body), receive), send)


def _declared_bytes(scope: Scope) -> int:
    """What Content-Length says; 0 without one."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    detail = f"the body is larger than the {MAX_BODY_BYTES} bytes that this service takes."
    # The connection ends here: what is left of the body is not read.
    problem = ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-large", detail, headers={"Connection": "close"}
    )
    await problem.response()(scope, receive, send)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
