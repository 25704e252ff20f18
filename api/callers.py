"""The caller of a request and its permissions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final

from api.problems import ProblemError
from nas.jobs.quotas import NO_KEY, KeyHolder
from nas.store.api_keys import MAX_PRIORITY, SCOPES, ApiKey, Scope
from nas.store.tenancy import EVERYTHING, Viewer

CALLER: Final = "hwnas.caller"
"""In the scope of an authenticated request: its :class:`Caller`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The sender of a request."""

    viewer: Viewer
    scopes: frozenset[Scope]
    holder: KeyHolder = NO_KEY
    """The key and its quota; without a key where none are required."""

    @property
    def key_id(self) -> str | None:
        """None where no keys are required."""
        return self.holder.key_id

    @property
    def audience(self) -> tuple[str | None, bool]:
        """Equal for callers to whom every answer of a GET request is the same."""
        return (None if self.viewer.sees_all else self.viewer.tenant), "read" in self.scopes

    def require(self, scope: Scope) -> None:
        """Refuses what the caller's key does not allow.

        Raises:
            ProblemError: 403 ``missing-scope``.
        """
        if scope not in self.scopes:
            detail = f"this API key has no scope {scope!r}; ask the service's administrator for a key that has it."
            raise ProblemError(HTTPStatus.FORBIDDEN, "missing-scope", detail)

    def require_owner(self, tenant: str | None) -> None:
        """Refuses to change what everyone sees and the caller does not own.

        Raises:
            ProblemError: 403 ``not-owner``.
        """
        if not self.viewer.owns(tenant):
            detail = "it was not made with a key of this tenant; only a key with scope 'admin' can change it."
            raise ProblemError(HTTPStatus.FORBIDDEN, "not-owner", detail)


LOCAL: Final = Caller(viewer=EVERYTHING, scopes=frozenset(SCOPES))
"""Everyone, where no keys are required."""


def caller_of_key(key: ApiKey) -> Caller:
    """The holder of a key; ``admin`` includes the other scopes, and jobs of any priority."""
    is_admin = "admin" in key.scopes
    return Caller(
        viewer=Viewer(tenant=key.tenant, sees_all=is_admin),
        scopes=frozenset(SCOPES) if is_admin else key.scopes,
        holder=KeyHolder(key_id=key.id, quota=replace(key.quota, max_priority=MAX_PRIORITY) if is_admin else key.quota),
    )


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """The sender of the request with this ASGI scope."""
    caller: Caller = scope.get(CALLER, LOCAL)
    return caller
