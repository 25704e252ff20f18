"""Calibrations of a device's latency predictor: requested here, run by worker processes."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api.dependencies import (
    CalibrationsDep,
    StoreDep,
    ViewerDep,
    calibrations_of,
    refuse_parameters,
    refuse_repeated_parameters,
    require_scope,
)
from api.job_routes import JobDescriptions, JobResource, add_job_routes
from api.job_states import calibration_out
from api.job_wire import CalibrationOut, CalibrationsOut, CalibrationsQuery
from api.json_bodies import require_json
from api.lookups import device_of_path, space_of_query
from api.pages import next_page, page_of
from api.submitting import SubmittingDep
from nas.jobs.deletion import Deletions
from nas.jobs.requests import CalibrationRequest

router = APIRouter(tags=["calibrations"], dependencies=[require_scope("read")])
_CALIBRATIONS = JobResource(
    kind="calibration",
    scope="calibrate",
    statuses=calibrations_of,
    answer=calibration_out,
    answer_type=CalibrationOut,
    delete=Deletions.calibration,
    descriptions=JobDescriptions(
        get="The state of a calibration. With `wait`, the answer comes once it has ended, or after that many seconds.",
        cancel="Cancels a calibration: a running one at its next step, a queued one at once; an ended one stays as it"
        " is.",
        delete="""Deletes a calibration that has ended; its predictor and what it measured are kept.

        Problems: `still-active` (409), and `still-referenced` (409) with `referrers` if it is a member of a batch.
        """,
    ),
)
add_job_routes(router, _CALIBRATIONS)


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
        lambda job_id: calibration_out(_CALIBRATIONS.find(calibrations, job_id, submitting.caller.viewer)),
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
        page_of(query),
        state=query.state,
        device=query.device,
        space=space_of_query(query.space),
        viewer=viewer,
    )
    return CalibrationsOut(
        calibrations=[calibration_out(status) for status in found],
        next_page_token=next_page(request, response, following),
    )
