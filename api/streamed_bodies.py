"""Requests whose body is read as it comes: bytes of an upload, which may be many and slow."""

import re
from typing import Final

from starlette.types import Scope

_ADDRESS: Final = re.compile(r"/v1/data-sets/[^/]+")


def streams_body(scope: Scope) -> bool:
    """Whether the route of a request reads its body itself, so that no bound on whole bodies applies."""
    return scope["method"] == "PATCH" and _ADDRESS.fullmatch(scope["path"]) is not None
