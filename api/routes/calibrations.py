"""Calibrations of a device's latency predictor: asked for here, run by worker processes."""

from fastapi import APIRouter, Depends, Response

from api.dependencies import QueueDep, StoreDep, refuse_parameters
from api.job_states import job_out
from api.lookups import device_of_path, is_id, space_of_field, supernet_of_body
from api.problems import invalid_field, not_found
from api.wire import CalibrationRequest, JobOut
from nas.calibration.buildable_spaces import buildable
from search_spaces.errors import UsageError
from search_spaces.registry import get_space

router = APIRouter(tags=["calibrations"], dependencies=[Depends(refuse_parameters)])


@router.post("/v1/devices/{device_id:path}/calibrations", status_code=202)
def start_calibration(
    device_id: str, asked: CalibrationRequest, response: Response, store: StoreDep, queue: QueueDep
) -> JobOut:
    """Queues a calibration; Location says where its state is.

    The worker measures chosen networks on the device (none needs training), learns from the devices in
    `sources`, and stores a predictor: the job's result names it as `latency_predictor`, beside its stated
    error, and `POST /v1/predictors/{id}:predict` asks it.
    """
    device = device_of_path(store, device_id)
    space = space_of_field("body", asked.space)
    try:
        buildable(get_space(space))
    except UsageError as error:
        raise invalid_field("body", "space", str(error).rstrip(".")) from error
    fixed: dict[str, str] = {"device": device.profile.id, "space": space}
    if asked.supernet is not None:
        fixed["supernet"] = supernet_of_body(store, space, asked.supernet).id
    job = queue.enqueue("calibration", asked.model_dump(mode="json") | fixed)
    url = f"/v1/calibrations/{job.id}"
    response.headers["Location"] = url
    return job_out(job, url)


@router.get("/v1/calibrations/{calibration_id}")
def get_calibration(calibration_id: str, queue: QueueDep) -> JobOut:
    """The state of a calibration."""
    job = queue.find(calibration_id, kind="calibration") if is_id(calibration_id) else None
    if job is None:
        raise not_found("unknown-calibration", f"no calibration {calibration_id!r} is stored.")
    return job_out(job, f"/v1/calibrations/{job.id}")
