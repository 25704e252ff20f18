"""Artifacts: files by the hash of their bytes."""

import base64
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from api.conditional import cache_for_ever, is_held
from api.dependencies import FilesDep, HomeDep, StoreDep, ViewerDep, refuse_parameters, require_scope
from api.lookups import is_hash, require_stored
from api.methods import ASKED_BY_HEAD
from api.problems import ProblemError

router = APIRouter(tags=["artifacts"], dependencies=[require_scope("read"), Depends(refuse_parameters)])

_BYTES: Final[dict[str, Any]] = {
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    "application/json": {"schema": {"type": "object"}},
}
_MEDIA_TYPES: Final = {"manifest": "application/json"}


class _ArtifactResponse(FileResponse):
    """A file or the part that a Range header asks for; what Starlette refuses as plain text is RFC 9110's answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        if scope.get(ASKED_BY_HEAD, False):
            scope = {**scope, "method": "HEAD"}
        refused: dict[str, str] | None = None

        async def watch(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] not in (200, 206):
                headers = Headers(raw=message["headers"])
                refused = {"Content-Range": headers["content-range"]} if "content-range" in headers else {}
            if refused is None:
                await send(message)

        await super().__call__(scope, receive, watch)
        if refused:
            detail = "the file has no such bytes; the Content-Range header has its size."
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            await ProblemError(status, "range-not-satisfiable", detail, headers=refused).response()(
                scope, receive, send
            )
        elif refused is not None:  # the header is malformed or of another unit: to be ignored
            kept = [(name, value) for name, value in scope["headers"] if name != b"range"]
            await super().__call__({**scope, "headers": kept}, receive, send)


@router.get(
    "/v1/artifacts/{sha256}",
    response_class=FileResponse,
    responses={
        200: {"description": "The file's bytes; a manifest is JSON.", "content": _BYTES},
        206: {"description": "The bytes that a Range header asks for.", "content": _BYTES},
        304: {"description": "The client holds these bytes already."},
    },
)
def get_artifact(
    request: Request, sha256: str, store: StoreDep, home: HomeDep, files: FilesDep, viewer: ViewerDep
) -> Response:
    """The bytes of one file, which never change. The `Repr-Digest` header has their SHA-256.

    Problems: `unknown-artifact` (404), `artifact-gone` (410; its file is missing or its bytes are not those that
    were stored) and `range-not-satisfiable` (416). A Range header that makes no sense is ignored.
    """
    found = store.artifacts.find(sha256, viewer) if is_hash(sha256) else None
    artifact = require_stored(found, "artifact", sha256)
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    headers = {
        "ETag": f'"{sha256}"',
        "Cache-Control": cache_for_ever(request),
        "Repr-Digest": f"sha-256=:{digest}:",
    }
    path = home.artifacts / artifact.path
    if not files.is_whole(path, sha256):
        detail = (
            f"artifact {sha256} was stored, but its file is gone or damaged; search with another seed"
            " (POST /v1/searches with another `seed`), since the same search would give the stored front again."
        )
        raise ProblemError(HTTPStatus.GONE, "artifact-gone", detail)
    if is_held(request, sha256):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    media_type = _MEDIA_TYPES.get(artifact.kind, "application/octet-stream")
    return _ArtifactResponse(path, media_type=media_type, headers=headers, filename=path.name)
