"""Rejects changes requested by other sites' pages through a visitor's browser (CSRF)."""

from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import ProblemError

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADER: Final = (b"sec-fetch-site", b"cross-site")


class SameSite:
    """ASGI middleware: 403 for requests that may change something, if a browser says that they are cross-site.

    Over loopback no key is needed, so that any page that a user visits could otherwise cancel jobs with a form.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on everything else."""
        if scope["type"] == "http" and scope["method"] not in _SAFE and _HEADER in scope["headers"]:
            detail = "pages of other sites cannot change anything here."
            await ProblemError(HTTPStatus.FORBIDDEN, "cross-site", detail).response()(scope, receive, send)
            return
        await self._app(scope, receive, send)
