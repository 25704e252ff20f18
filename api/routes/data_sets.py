"""Data sets to train on: announced, uploaded in as many requests as it takes, and checked."""

import contextlib
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from api.callers import Caller
from api.data_wire import DataSetOut, DataSetRequest, DataSetsOut, DataSetsQuery
from api.dependencies import (
    CallerDep,
    ChangeDep,
    DeletionsDep,
    StoreDep,
    UploadsDep,
    ViewerDep,
    refuse_parameters,
    refuse_repeated_parameters,
    require_scope,
)
from api.json_bodies import require_json
from api.lookups import is_id, require_stored
from api.pages import next_page, page_of
from api.problems import unsupported_media_type
from nas.data_uploads import DataUploads
from nas.jobs.requests import MAX_INTEGER
from nas.store import Store
from nas.store.data_sets import STORED_DATA, NewDataSet, StoredDataSet
from nas.store.tenancy import Viewer

router = APIRouter(tags=["data sets"], dependencies=[require_scope("read")])
_BYTES = "application/octet-stream"
_OFFSET_HEADERS = {
    "Upload-Offset": {"description": "How many bytes are there.", "schema": {"type": "integer"}},
    "Upload-Length": {"description": "How many there will be.", "schema": {"type": "integer"}},
}
_ANSWER = {"headers": _OFFSET_HEADERS}
UploadOffset = Annotated[
    int, Header(alias="Upload-Offset", ge=0, le=MAX_INTEGER, description="How many bytes were there before these.")
]


async def _owned_data_set(data_set_id: str, store: StoreDep, caller: CallerDep) -> StoredDataSet:
    """The data set of the address, which the caller may change."""
    return await run_in_threadpool(_owned, store, data_set_id, caller)


OwnedDataSet = Annotated[StoredDataSet, Depends(_owned_data_set)]


@router.post(
    "/v1/data-sets",
    status_code=201,
    responses={201: _ANSWER, 200: _ANSWER | {"model": DataSetOut, "description": "Announced before."}},
    dependencies=[require_scope("submit"), Depends(refuse_parameters), Depends(require_json)],
)
def begin_data_set(
    asked: DataSetRequest, response: Response, uploads: UploadsDep, caller: CallerDep, change: ChangeDep
) -> DataSetOut:
    """Announces a data set; its bytes are then sent to the address in the Location header with PATCH.

    A file that was announced before under the same name gives that data set (200), whose upload goes on at its
    offset. Problems: `upload-too-large` (413), `quota-exceeded` (429) if too many jobs and uploads of the API key are
    unfinished.
    """
    new = NewDataSet(name=asked.name, size_bytes=asked.size_bytes, sha256=asked.sha256)
    data_set, is_new = uploads.begin(new, tenant=caller.viewer.tenant, holder=caller.holder, change=change)
    if not is_new:
        response.status_code = 200
    answer = _answer(uploads, data_set, response)
    response.headers["Location"] = answer.url
    return answer


@router.patch(
    "/v1/data-sets/{data_set_id:segment}",
    responses={200: _ANSWER},
    openapi_extra={
        "requestBody": {"required": True, "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}}}
    },
    dependencies=[require_scope("submit"), Depends(refuse_parameters)],
)
async def append_to_data_set(
    data_set: OwnedDataSet,
    offset: UploadOffset,
    request: Request,
    response: Response,
    uploads: UploadsDep,
    change: ChangeDep,
) -> DataSetOut:
    """Appends the body to the file, which is checked as soon as every byte is there.

    Bytes that arrived are kept, even if the connection breaks. Send few enough for 30 seconds in each request, and ask
    for the offset with HEAD after a failure. The last request is answered after the check: SHA-256, then the same
    checks as those of `--data npz:`. Problems: `wrong-offset` (409, with the right one in Upload-Offset),
    `upload-busy` (503), `upload-ended` (409), `too-many-bytes` (422), `wrong-digest` (422: start again at 0),
    `bad-data` (422: the file is no data set and stays refused).
    """
    if request.headers.get("content-type") != _BYTES:
        raise unsupported_media_type(_BYTES)
    with await run_in_threadpool(uploads.append, data_set, offset) as appending:
        with contextlib.suppress(ClientDisconnect):  # what came is kept
            async for data in request.stream():
                await run_in_threadpool(appending.write, data)
        await run_in_threadpool(appending.sync)
        if appending.is_whole:
            data_set = await run_in_threadpool(uploads.finish, appending, change=change)
    return await run_in_threadpool(_answer, uploads, data_set, response)


@router.get("/v1/data-sets", dependencies=[Depends(refuse_repeated_parameters)])
def list_data_sets(
    request: Request,
    response: Response,
    query: Annotated[DataSetsQuery, Query()],
    store: StoreDep,
    uploads: UploadsDep,
    viewer: ViewerDep,
) -> DataSetsOut:
    """Lists the data sets, newest first, a page at a time."""
    found, following = store.data_sets.page(page_of(query), state=query.state, viewer=viewer)
    return DataSetsOut(
        data_sets=[_data_set_out(one, uploads.offset(one)) for one in found],
        next_page_token=next_page(request, response, following),
    )


@router.get("/v1/data-sets/{data_set_id:segment}", responses={200: _ANSWER}, dependencies=[Depends(refuse_parameters)])
def get_data_set(
    data_set_id: str, response: Response, store: StoreDep, uploads: UploadsDep, viewer: ViewerDep
) -> DataSetOut:
    """One data set; with HEAD, its headers alone: Upload-Offset says where an upload continues."""
    return _answer(uploads, _find(store, data_set_id, viewer), response)


@router.delete(
    "/v1/data-sets/{data_set_id:segment}",
    status_code=204,
    dependencies=[require_scope("submit"), Depends(refuse_parameters)],
)
def delete_data_set(data_set_id: str, store: StoreDep, deletions: DeletionsDep, caller: CallerDep) -> None:
    """Deletes a data set and its file, whole or not.

    Problems: `still-referenced` (409) with `referrers` while a supernet was trained on it or a training waits or runs.
    """
    deletions.data_set(_owned(store, data_set_id, caller).id)


def _answer(uploads: DataUploads, data_set: StoredDataSet, response: Response) -> DataSetOut:
    answer = _data_set_out(data_set, uploads.offset(data_set))
    response.headers["Upload-Offset"] = str(answer.offset_bytes)
    response.headers["Upload-Length"] = str(answer.size_bytes)
    response.headers["Cache-Control"] = "no-store"
    return answer


def _data_set_out(data_set: StoredDataSet, offset: int) -> DataSetOut:
    contents = data_set.contents
    return DataSetOut(
        id=data_set.id,
        url=f"/v1/data-sets/{data_set.id}",
        name=data_set.name,
        state=data_set.state,
        data=f"{STORED_DATA}{data_set.id}",
        size_bytes=data_set.size_bytes,
        offset_bytes=offset,
        sha256=data_set.sha256,
        task=None if contents is None else contents.task.as_json(),
        classes=None if contents is None else list(contents.classes),
        images_train=None if contents is None else contents.images_train,
        images_test=None if contents is None else contents.images_test,
        data_fingerprint=None if contents is None else contents.fingerprint,
        error=data_set.error,
        created_at=data_set.created_at,
    )


def _find(store: Store, data_set_id: str, viewer: Viewer) -> StoredDataSet:
    found = store.data_sets.find(data_set_id, viewer) if is_id(data_set_id) else None
    return require_stored(found, "data set", data_set_id)


def _owned(store: Store, data_set_id: str, caller: Caller) -> StoredDataSet:
    data_set = _find(store, data_set_id, caller.viewer)
    caller.require_owner(data_set.tenant)
    return data_set
