"""Who makes the change that a request asks for, as the audit trail names it."""

from starlette.types import Scope

from api.callers import caller_of
from api.trace_context import trace_of
from nas.store.audit import Change


def change_of(scope: Scope) -> Change:
    """The change of the request with this ASGI scope; what makes it records it in its own transaction."""
    caller = caller_of(scope)
    return Change(
        actor="local" if caller.key_id is None else f"key {caller.key_id}",
        tenant=caller.viewer.tenant,
        action=f"{scope['method']} {scope['path']}"[:200],
        trace_id=trace_of(scope),
    )
