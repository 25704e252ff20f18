"""The audit trail of requests: each one that changed something."""

import logging
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.callers import caller_of
from api.trace_context import trace_of
from nas.store import Store
from nas.store.audit import Change
from search_spaces.errors import NasError

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_AGENTS: Final = "/v1/agents/"
"""Agents change nothing of anybody's; what they measure says where it is from."""
_LOOKING: Final = ":predict"
_log: Final = logging.getLogger(__name__)


class AuditTrail:
    """ASGI middleware that records each change before its answer is sent."""

    def __init__(self, app: ASGIApp, store: Store) -> None:
        self._app = app
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http" or scope["method"] in _SAFE or _changes_nothing(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def record(message: Message) -> None:
            if message["type"] == "http.response.start" and 200 <= message["status"] < 300:
                headers = Headers(raw=message["headers"])
                if "idempotency-replayed" not in headers:
                    await self._record(scope, headers.get("location", scope["path"]))
            await send(message)

        await self._app(scope, receive, record)

    async def _record(self, scope: Scope, subject: str) -> None:
        caller = caller_of(scope)
        change = Change(
            actor="local" if caller.key_id is None else f"key {caller.key_id}",
            tenant=caller.viewer.tenant,
            action=f"{scope['method']} {scope['path']}"[:200],
            subject=subject,
            trace_id=trace_of(scope),
        )
        try:
            await run_in_threadpool(self._store.audit.record, change)
        except NasError:  # the change is made: an error would say otherwise
            _log.exception("a change could not be recorded in the audit trail: %s", change)


def _changes_nothing(path: str) -> bool:
    return path.startswith(_AGENTS) or path.endswith(_LOOKING)
