"""The web page at ``/``: static files of this package, which use the public REST API."""

import hashlib
from functools import cache
from importlib import resources
from typing import Final

from fastapi import APIRouter, Depends, Request, Response

from api.conditional import conditional
from api.dependencies import refuse_parameters
from api.problems import not_found

router = APIRouter(include_in_schema=False, dependencies=[Depends(refuse_parameters)])

_TYPES: Final = {"html": "text/html; charset=utf-8", "css": "text/css", "js": "text/javascript"}
_FILES: Final = frozenset({"page.css", "page.js", "elements.js", "front.js", "jobs.js", "plot.js", "service.js"})
_NO_OTHER_HOST: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/")
def page(request: Request) -> Response:
    """The page itself."""
    answer = _file(request, "index.html")
    answer.headers["Content-Security-Policy"] = _NO_OTHER_HOST
    return answer


@router.get("/page/{name}")
def page_file(request: Request, name: str) -> Response:
    """Its scripts and styles."""
    if name not in _FILES:
        raise not_found("not-found", "there is nothing at this address; /openapi.json lists all routes.")
    return _file(request, name)


def _file(request: Request, name: str) -> Response:
    content, etag = _content(name)
    media_type = _TYPES[name.rpartition(".")[2]]
    answer = conditional(request, lambda: content, etag, cache_control="no-cache", media_type=media_type)
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


@cache
def _content(name: str) -> tuple[bytes, str]:
    content = (resources.files("api") / "page" / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()
