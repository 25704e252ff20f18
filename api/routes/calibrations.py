"""Calibrations of a device's latency predictor: requested here, run by worker processes."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api.callers import Caller
from api.dependencies import (
    CalibrationsDep,
    CallerDep,
    ChangeDep,
    DeletionsDep,
    QueueDep,
    StoreDep,
    ViewerDep,
    WatchesDep,
    refuse_parameters,
    refuse_repeated_parameters,
    require_scope,
)
from api.event_streams import EVENT_STREAM, LastEventId, event_stream
from api.job_states import calibration_out
from api.job_wire import CalibrationOut, CalibrationsOut, CalibrationsQuery, WaitQuery
from api.json_bodies import require_json
from api.lookups import device_of_path, is_id
from api.pages import next_page, page_of
from api.problems import not_found
from api.submitting import SubmittingDep
from nas.jobs.events import JobEvents
from nas.jobs.job_statuses import JobStatus, JobStatuses
from nas.jobs.requests import CalibrationRequest
from nas.store.tenancy import Viewer

router = APIRouter(tags=["calibrations"], dependencies=[require_scope("read")])


@router.post(
    "/v1/devices/{device_id:path}/calibrations",
    status_code=202,
    response_model=CalibrationOut,
    dependencies=[require_scope("calibrate"), Depends(refuse_parameters), Depends(require_json)],
)
def start_calibration(
    device_id: str,
    asked: CalibrationRequest,
    response: Response,
    store: StoreDep,
    calibrations: CalibrationsDep,
    submitting: SubmittingDep,
) -> Any:  # noqa: ANN401 - the stored answer, which response_model describes
    """Queues a calibration; the Location header has the address of its state.

    The worker measures a few networks on the device (no training is needed), learns from the devices in
    `sources` and stores a predictor. The job's result has its id, `latency_predictor`, and its expected
    error; `POST /v1/predictors/{id}:predict` uses it. Problems: `queue-full` (429) if too many jobs are
    waiting, `quota-exceeded` (429) if the quota of the API key is used up, `beyond-quota` (403) if it never allows
    this.
    """
    profile = device_of_path(store, device_id).profile
    return submitting.accept(
        asked,
        lambda: [submitting.requests.calibration(profile, asked)],
        lambda job_id: calibration_out(_find(calibrations, job_id, submitting.caller.viewer)),
        response,
    )


@router.get("/v1/calibrations", dependencies=[Depends(refuse_repeated_parameters)])
def list_calibrations(
    request: Request,
    response: Response,
    query: Annotated[CalibrationsQuery, Query()],
    calibrations: CalibrationsDep,
    viewer: ViewerDep,
) -> CalibrationsOut:
    """Lists the calibrations, newest first, a page at a time."""
    found, following = calibrations.page(
        page_of(query), state=query.state, device=query.device, space=query.space, viewer=viewer
    )
    return CalibrationsOut(
        calibrations=[calibration_out(status) for status in found],
        next_page_token=next_page(request, response, following),
    )


@router.get("/v1/calibrations/{calibration_id:segment}", dependencies=[Depends(refuse_repeated_parameters)])
async def get_calibration(
    calibration_id: str,
    query: Annotated[WaitQuery, Query()],
    calibrations: CalibrationsDep,
    viewer: ViewerDep,
    watches: WatchesDep,
) -> CalibrationOut:
    """The state of a calibration. With `wait`, the answer comes once it has ended, or after that many seconds."""
    status = await watches.until(
        lambda: _find(calibrations, calibration_id, viewer), lambda found: found.job.ended, seconds=query.wait
    )
    return calibration_out(status)


@router.get(
    "/v1/calibrations/{calibration_id:segment}/events",
    response_class=Response,
    responses=EVENT_STREAM,
    dependencies=[Depends(refuse_parameters)],
)
async def stream_calibration_events(
    calibration_id: str,
    calibrations: CalibrationsDep,
    store: StoreDep,
    viewer: ViewerDep,
    watches: WatchesDep,
    last_event_id: LastEventId = 0,
) -> Response:
    """Streams the calibration's changes of state and its progress as server-sent events."""
    events = JobEvents(store)

    def follow(after: int) -> tuple[Any, bool]:
        ended = _find(calibrations, calibration_id, viewer).job.ended
        return events.after(calibration_id, after), ended

    return await event_stream(watches, follow, last_event_id)


@router.post(
    "/v1/calibrations/{calibration_id:segment}:cancel",
    dependencies=[require_scope("calibrate"), Depends(refuse_parameters)],
)
def cancel_calibration(
    calibration_id: str, calibrations: CalibrationsDep, queue: QueueDep, caller: CallerDep, change: ChangeDep
) -> CalibrationOut:
    """Cancels a calibration: a running one at its next step, a queued one at once; an ended one stays as it is."""
    queue.cancel(_owned(calibrations, calibration_id, caller).job.id, change=change)
    return calibration_out(_find(calibrations, calibration_id, caller.viewer))


@router.delete(
    "/v1/calibrations/{calibration_id:segment}",
    status_code=204,
    dependencies=[require_scope("calibrate"), Depends(refuse_parameters)],
)
def delete_calibration(
    calibration_id: str, calibrations: CalibrationsDep, deletions: DeletionsDep, caller: CallerDep
) -> None:
    """Deletes a calibration that has ended; its predictor and what it measured are kept.

    Problems: `still-active` (409), and `still-referenced` (409) with `referrers` if it is a member of a batch.
    """
    deletions.calibration(_owned(calibrations, calibration_id, caller).job.id)


def _find(calibrations: JobStatuses, calibration_id: str, viewer: Viewer) -> JobStatus:
    found = calibrations.find(calibration_id, viewer) if is_id(calibration_id) else None
    if found is None:
        raise not_found("unknown-calibration", f"no calibration {calibration_id!r} is stored.")
    return found


def _owned(calibrations: JobStatuses, calibration_id: str, caller: Caller) -> JobStatus:
    status = _find(calibrations, calibration_id, caller.viewer)
    caller.require_owner(status.job.tenant)
    return status
