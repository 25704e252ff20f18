"""Authentication by API key, before any other processing of a request."""

import time
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from api.callers import CALLER, Caller, caller_of_key
from api.problems import ProblemError, problem_of_error
from nas.store import Store
from search_spaces.errors import NasError

_OPEN: Final = frozenset({"/", "/livez", "/readyz", "/docs", "/openapi.json"})
_OPEN_FOLDERS: Final = ("/docs/", "/page/", "/v1/agents/")
"""Files of the documentation and of the web page hold no data of anybody; agents have keys of their own."""
_KEPT: Final = 1024
_KNOWN_S: Final = 5.0
"""Where the database is a server's, whose commits cannot be seen from here, a revoked key works for so long."""
_LONGEST: Final = 200


class Authentication:
    """ASGI middleware: 401 for requests without a valid ``Authorization: Bearer KEY``."""

    def __init__(self, app: ASGIApp, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, tuple[Caller, object]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on requests with their caller, and those to open addresses as they are."""
        if scope["type"] != "http" or _is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            caller = await self._caller(_bearer(scope))
        except NasError as error:
            await problem_of_error(error).response()(scope, receive, send)
            return
        if caller is None:
            detail = "send a valid API key as `Authorization: Bearer KEY`; `hwnas keys create` makes one."
            headers = {"WWW-Authenticate": 'Bearer realm="hwnas"'}
            problem = ProblemError(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers=headers)
            await problem.response()(scope, receive, send)
            return
        scope[CALLER] = caller
        await self._app(scope, receive, send)

    async def _caller(self, key: str | None) -> Caller | None:
        if key is None:
            return None
        until = self._until()
        known = self._known.get(key)
        if known is not None and known[1] == until and until is not None:
            return known[0]
        found = await run_in_threadpool(self._store.api_keys.find_active, key)
        if found is None:
            self._known.pop(key, None)
            return None
        caller = caller_of_key(found)
        if until is None:
            return caller
        self._known[key] = (caller, until)
        self._known.move_to_end(key)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return caller

    def _until(self) -> object | None:
        """A value that changes when a cached key must be looked up again; None if that is now."""
        database = self._store.database
        return self._clock() // _KNOWN_S if database.is_shared else database.stamp()


def _is_open(path: str) -> bool:
    return path in _OPEN or path.startswith(_OPEN_FOLDERS)


def _bearer(scope: Scope) -> str | None:
    """The key of the only Authorization header, if it is one."""
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1 or len(values[0]) > _LONGEST:
        return None
    scheme, _, key = values[0].decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.isascii() else None
