"""Conditional requests: strong ETags and 304 (RFC 9110, section 13)."""

from collections.abc import Callable

from fastapi import Request, Response

from api.callers import caller_of


def cache_for_ever(request: Request) -> str:
    """Cache-Control of what never changes; only the client itself may keep what it got with an API key."""
    whose = "public" if caller_of(request.scope).key_id is None else "private"
    return f"{whose}, max-age=31536000, immutable"


def is_held(request: Request, etag: str) -> bool:
    """Whether If-None-Match names this hash; weak comparison, as the RFC wants for GET."""
    return names_etag(request.headers.get("if-none-match", ""), etag)


def names_etag(if_none_match: str, etag: str) -> bool:
    """Whether the header's value names this hash."""
    entries = [entry.strip().removeprefix("W/") for entry in if_none_match.split(",")]
    return "*" in entries or f'"{etag}"' in entries


def conditional(
    request: Request,
    body: Callable[[], bytes],
    etag: str,
    *,
    cache_control: str,
    media_type: str = "application/json",
) -> Response:
    """Bytes as they are, or 304 without even reading them."""
    headers = {"ETag": f'"{etag}"', "Cache-Control": cache_control}
    if is_held(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(body(), media_type=media_type, headers=headers)
