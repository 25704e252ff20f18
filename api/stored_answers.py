"""A cache of front responses, sent as bytes without session, serializer or thread.

An answer counts while the database is the one that it was read from. SQLite's files tell by their times and sizes,
which every commit of any process changes; of PostgreSQL nothing is known without asking, so that only addresses
whose bytes never change are kept.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.callers import CALLER
from api.conditional import names_etag
from nas.store import Store

_KEPT: Final = 512
_LARGEST_BYTES: Final = 1 << 20
_STAMP: Final = "hwnas.stamp"
STORED: Final = "hwnas.stored"
"""In the scope of a request that was answered from memory."""

Headers = list[tuple[bytes, bytes]]
Stamp = tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    body: bytes
    etag: str
    whole: Headers
    """Headers with the body."""
    held: Headers
    """Headers of 304."""
    stamp: Stamp


_Key = tuple[bytes, bytes, object]


def _key(scope: Scope) -> _Key:
    caller = scope.get(CALLER)
    return scope["raw_path"], scope["query_string"], None if caller is None else caller.audience


class StoredAnswers:
    """Answers by address, query and tenant. Used from the event loop and, to keep answers, from its threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answers: OrderedDict[_Key, _Answer] = OrderedDict()

    def stamp(self) -> Stamp:
        """The database's current stamp; see :meth:`nas.store.database.Database.stamp`."""
        return self._store.database.stamp()

    def find(self, scope: Scope, stamp: Stamp) -> _Answer | None:
        """The answer to this request, if it still counts."""
        answer = self._answers.get(_key(scope))
        return answer if answer is not None and answer.stamp == stamp else None

    def keep(self, request: Request, response: Response, body: bytes, etag: str, *, immutable: bool = False) -> None:
        """Keeps a front's answer, given with its body or without (304), for the requests after this one."""
        scope = request.scope
        if _STAMP not in scope or len(body) > _LARGEST_BYTES:
            return
        stamp: Stamp = scope[_STAMP]
        if stamp is None and not (immutable and self._store.database.is_shared):
            return
        held = [(name, value) for name, value in response.raw_headers if name in (b"etag", b"cache-control")]
        whole = [*held, (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        key = _key(scope)
        self._answers[key] = _Answer(body=body, etag=etag, whole=whole, held=held, stamp=stamp)
        self._answers.move_to_end(key)
        while len(self._answers) > _KEPT:
            self._answers.popitem(last=False)

    def clear(self) -> None:
        """Forgets all, after a front was deleted."""
        self._answers.clear()


class QuickAnswers:
    """The application with :class:`StoredAnswers` before it."""

    def __init__(self, app: ASGIApp, answers: StoredAnswers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers what is kept, and passes on the rest."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        stamp = self._answers.stamp()
        answer = self._answers.find(scope, stamp)
        if answer is None:
            scope[_STAMP] = stamp  # from before the database is read
            await self._app(scope, receive, send)
            return
        scope[STORED] = True
        for name, value in scope["headers"]:
            if name == b"if-none-match" and names_etag(value.decode("latin-1"), answer.etag):
                await send({"type": "http.response.start", "status": 304, "headers": answer.held})
                await send({"type": "http.response.body", "body": b""})
                return
        await send({"type": "http.response.start", "status": 200, "headers": answer.whole})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})
