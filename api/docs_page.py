"""``/docs``: the interactive API reference, without files from other hosts."""

import hashlib
from functools import cache
from importlib import resources
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

from api.conditional import conditional

router = APIRouter(include_in_schema=False)

_FILES: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_NO_OTHER_HOST: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
)


@router.get("/docs")
def docs() -> Response:
    """Swagger UI on this service's description."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="hwnas",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="data:,",
        swagger_ui_parameters={"validatorUrl": None},
    )
    page.headers["Content-Security-Policy"] = _NO_OTHER_HOST
    return page


@router.get("/docs/swagger-ui-bundle.js")
def script(request: Request) -> Response:
    """Swagger UI's script."""
    return _file(request, "swagger-ui-bundle.js")


@router.get("/docs/swagger-ui.css")
def style(request: Request) -> Response:
    """Swagger UI's style sheet."""
    return _file(request, "swagger-ui.css")


def _file(request: Request, name: str) -> Response:
    content, etag = _content(name)
    return conditional(request, lambda: content, etag, cache_control="no-cache", media_type=_FILES[name])


@cache
def _content(name: str) -> tuple[bytes, str]:
    # The package ships Swagger UI's distribution, which is otherwise on npm only.
    content = (resources.files("fastapi_offline") / "static" / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()
