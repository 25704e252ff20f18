"""A limit on concurrent writing requests, so that reads always find a free thread."""

import asyncio
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import ProblemError
from api.streamed_bodies import streams_body

MAX_CHANGES: Final = 8
"""At once; far fewer than the threads that FastAPI has for requests (40)."""
_WAIT_S: Final = 5.0
_LONG_POLLS: Final = frozenset({"/v1/agents/claim"})
"""They wait most of their time for something to do, and not for the database."""


def _waits_for_others(scope: Scope) -> bool:
    """Whether a request is not, or for most of its time not, about a change in the database."""
    return scope["method"] == "GET" or scope["path"] in _LONG_POLLS or streams_body(scope)


class ChangeLimit:
    """ASGI middleware: 503 for a request other than GET that waits for its turn too long."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turns = asyncio.Semaphore(MAX_CHANGES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on at most :data:`MAX_CHANGES` requests at once that may change something."""
        if scope["type"] != "http" or _waits_for_others(scope):
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(_WAIT_S):
                await self._turns.acquire()
        except TimeoutError:
            detail = "too many requests that change something are waiting; try again later."
            problem = ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "busy", detail, headers={"Retry-After": "5"})
            await problem.response()(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._turns.release()
