"""Batches: up to 100 searches and calibrations, accepted together and followed as one resource."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api.callers import Caller
from api.dependencies import (
    BatchesDep,
    CallerDep,
    ChangeDep,
    DeletionsDep,
    ViewerDep,
    WatchesDep,
    refuse_parameters,
    refuse_repeated_parameters,
    require_scope,
)
from api.job_states import batch_out
from api.job_wire import BatchesOut, BatchOut, WaitQuery
from api.json_bodies import require_json
from api.lookups import is_id, require_stored
from api.pages import next_page, page_of
from api.submitting import SubmittingDep
from api.wire import PageQuery
from nas.jobs.batches import Batches, BatchStatus
from nas.jobs.requests import BatchRequest
from nas.jobs.submission import NewBatch
from nas.store.tenancy import Viewer

router = APIRouter(tags=["batches"], dependencies=[require_scope("read")])


@router.post(
    "/v1/batches",
    status_code=202,
    response_model=BatchOut,
    dependencies=[Depends(refuse_parameters), Depends(require_json)],
)
def start_batch(
    asked: BatchRequest,
    response: Response,
    batches: BatchesDep,
    submitting: SubmittingDep,
) -> Any:  # noqa: ANN401 - the stored answer, which response_model describes
    """Queues up to 100 searches and calibrations, all or none; the Location header has the batch's address.

    Problems: `queue-full` (429) if too many jobs would wait. Needs the scope `submit` for searches and `calibrate`
    for calibrations.
    """
    _require_scopes(submitting.caller, searches=bool(asked.searches), calibrations=bool(asked.calibrations))
    return submitting.accept(
        asked,
        lambda: submitting.requests.batch(asked),
        lambda batch_id: batch_out(_find(batches, batch_id, submitting.caller.viewer)),
        response,
        batch=NewBatch(name=asked.name),
    )


@router.get("/v1/batches", dependencies=[Depends(refuse_repeated_parameters)])
def list_batches(
    request: Request,
    response: Response,
    query: Annotated[PageQuery, Query()],
    batches: BatchesDep,
    viewer: ViewerDep,
) -> BatchesOut:
    """Lists the batches with their members, newest first, a page at a time."""
    found, following = batches.page(page_of(query), viewer=viewer)
    return BatchesOut(
        batches=[batch_out(status) for status in found], next_page_token=next_page(request, response, following)
    )


@router.get("/v1/batches/{batch_id:segment}", dependencies=[Depends(refuse_repeated_parameters)])
async def get_batch(
    batch_id: str, query: Annotated[WaitQuery, Query()], batches: BatchesDep, viewer: ViewerDep, watches: WatchesDep
) -> BatchOut:
    """The state of a batch and its members. With `wait`, once all have ended, or after that many seconds."""
    status = await watches.until(
        lambda: _find(batches, batch_id, viewer), lambda found: found.ended, seconds=query.wait
    )
    return batch_out(status)


@router.post("/v1/batches/{batch_id:segment}:cancel", dependencies=[Depends(refuse_parameters)])
def cancel_batch(batch_id: str, batches: BatchesDep, caller: CallerDep, change: ChangeDep) -> BatchOut:
    """Cancels every member of a batch that has not ended."""
    return batch_out(batches.cancel(_owned(batches, batch_id, caller).id, change=change))


@router.delete("/v1/batches/{batch_id:segment}", status_code=204, dependencies=[Depends(refuse_parameters)])
def delete_batch(batch_id: str, batches: BatchesDep, deletions: DeletionsDep, caller: CallerDep) -> None:
    """Deletes a batch and its members, all of which have ended. What they measured is kept.

    Problems: `still-active` (409), and `still-referenced` (409) with `referrers` if one of its searches has a front.
    """
    deletions.batch(_owned(batches, batch_id, caller).id)


def _find(batches: Batches, batch_id: str, viewer: Viewer) -> BatchStatus:
    return require_stored(batches.find(batch_id, viewer) if is_id(batch_id) else None, "batch", batch_id)


def _owned(batches: Batches, batch_id: str, caller: Caller) -> BatchStatus:
    status = _find(batches, batch_id, caller.viewer)
    kinds = {job.kind for job in status.jobs}
    _require_scopes(caller, searches="search" in kinds, calibrations="calibration" in kinds)
    caller.require_owner(status.tenant)
    return status


def _require_scopes(caller: Caller, *, searches: bool, calibrations: bool) -> None:
    if searches or not calibrations:
        caller.require("submit")
    if calibrations:
        caller.require("calibrate")
