"""Artifacts: files by the hash of their bytes."""

import base64
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse

from api.conditional import is_held
from api.dependencies import FilesDep, HomeDep, StoreDep, refuse_parameters
from api.lookups import is_hash
from api.problems import ProblemError, not_found

router = APIRouter(tags=["artifacts"], dependencies=[Depends(refuse_parameters)])

_MEDIA_TYPES: Final = {"manifest": "application/json"}


@router.get(
    "/v1/artifacts/{sha256}",
    response_class=FileResponse,
    responses={
        200: {"description": "The file's bytes.", "content": {"application/octet-stream": {}}},
        206: {"description": "The bytes that a Range header asks for."},
        304: {"description": "The client holds these bytes already."},
    },
)
def get_artifact(request: Request, sha256: str, store: StoreDep, home: HomeDep, files: FilesDep) -> Response:
    """The bytes of one file, which never change. The `Repr-Digest` header has their SHA-256.

    Problems: `unknown-artifact` (404), `artifact-gone` (410; its file is missing or its bytes are not those that
    were stored).
    """
    artifact = store.artifacts.find(sha256) if is_hash(sha256) else None
    if artifact is None:
        raise not_found("unknown-artifact", f"no artifact {sha256!r} is stored.")
    digest = base64.b64encode(bytes.fromhex(sha256)).decode()
    headers = {
        "ETag": f'"{sha256}"',
        "Cache-Control": "public, max-age=31536000, immutable",
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
    return FileResponse(path, media_type=media_type, headers=headers, filename=path.name)
