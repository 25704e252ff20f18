"""Calibrations of a device's latency predictor: requested here, run by worker processes."""

from fastapi import APIRouter, Depends, Response

from api.dependencies import HomeDep, QueueDep, StoreDep, refuse_parameters
from api.job_states import job_out
from api.json_bodies import require_json
from api.lookups import device_of_path, find_device, is_id, space_of_field, supernet_of_body
from api.problems import invalid_field, not_found
from api.wire import CalibrationRequest, JobOut
from nas.home import Home
from nas.measuring.device_measurements import DeviceMeasurements
from nas.recorded_tables import RecordedTables
from nas.store import Store
from nas.workflows.population import population
from search_spaces.registry import get_space
from search_spaces.space import SearchSpace

router = APIRouter(tags=["calibrations"], dependencies=[Depends(refuse_parameters)])


@router.post("/v1/devices/{device_id:path}/calibrations", status_code=202, dependencies=[Depends(require_json)])
def start_calibration(
    device_id: str, asked: CalibrationRequest, response: Response, store: StoreDep, home: HomeDep, queue: QueueDep
) -> JobOut:
    """Queues a calibration; the Location header has the address of its state.

    The worker measures a few networks on the device (no training is needed), learns from the devices in
    `sources` and stores a predictor. The job's result has its id, `latency_predictor`, and its expected
    error; `POST /v1/predictors/{id}:predict` uses it.
    """
    device = device_of_path(store, device_id)
    space = space_of_field("body", asked.space)
    fixed: dict[str, str] = {"device": device.profile.id, "space": space}
    supernet = store.supernets.latest(space=space)
    if asked.supernet is not None:
        supernet = supernet_of_body(store, space, asked.supernet)
        fixed["supernet"] = supernet.id
    bound = get_space(space, None if supernet is None else supernet.task)
    _check_budget(bound, asked)
    _check_sources(store, home, bound, device.profile.id, asked.sources or [])
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


def _check_budget(space: SearchSpace, asked: CalibrationRequest) -> None:
    available = len(population(space, asked.seed, asked.precisions))
    if asked.budget > available:
        message = f"{asked.budget} is more than the {available} networks to choose from; give a smaller budget"
        raise invalid_field("body", "budget", message)


def _check_sources(store: Store, home: Home, space: SearchSpace, device: str, sources: list[str]) -> None:
    """Refuses names that a worker would refuse; whether a device has enough measurements is the worker's to say."""
    if device in sources:
        message = f"{device} is the device to calibrate and cannot be a source of its own; leave it out"
        raise invalid_field("body", f"sources.{sources.index(device)}", message)
    known = {name for name in sources if _is_measured(store, name, space)}
    if set(sources) <= known:
        return
    # Recorded tables are for the images and classes that the space was published with.
    table = RecordedTables(home).of_space(space.name) if space.task == get_space(space.name).task else None
    known |= set() if table is None else set(table.latency_ms)
    for number, name in enumerate(sources):
        if name not in known:
            message = f"no device {name!r} with measurements of {space.name} is known"
            raise invalid_field("body", f"sources.{number}", message)


def _is_measured(store: Store, name: str, space: SearchSpace) -> bool:
    device = find_device(store, name)
    if device is None:
        return False
    return bool(DeviceMeasurements(store, device.profile, space).networks())
