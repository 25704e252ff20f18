"""Checks of JSON bodies before their fields are validated."""

import json
from email.message import Message
from typing import Any

from fastapi import Request

from api.problems import FieldError, invalid_request, unsupported_media_type


async def require_json(request: Request) -> None:
    """For routes that take a JSON body.

    Raises:
        ProblemError: 415 for a body of another type; 422 for an object that has a key twice: which was meant?
    """
    body = await request.body()
    declared = request.headers.get("content-type")
    if not _is_json(declared) and (body or declared is not None):
        raise unsupported_media_type("application/json")
    if body:
        json.loads(body, object_pairs_hook=_object)


def _is_json(content_type: str | None) -> bool:
    message = Message()
    message["content-type"] = content_type or ""
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, value in pairs:
        if name in known:
            raise invalid_request([FieldError(place="body", field=name, message="given more than once")])
        known[name] = value
    return known
