"""Trainings of supernets: requested here, run by worker processes."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api.callers import Caller
from api.dependencies import (
    CallerDep,
    ChangeDep,
    DeletionsDep,
    QueueDep,
    StoreDep,
    TrainingsDep,
    ViewerDep,
    WatchesDep,
    refuse_parameters,
    refuse_repeated_parameters,
    require_scope,
)
from api.event_streams import EVENT_STREAM, LastEventId, event_stream
from api.job_states import training_out
from api.job_wire import TrainingOut, TrainingsOut, TrainingsQuery, WaitQuery
from api.json_bodies import require_json
from api.lookups import is_id, space_of_query
from api.pages import next_page, page_of
from api.problems import not_found
from api.submitting import SubmittingDep
from nas.jobs.events import JobEvents
from nas.jobs.job_statuses import JobStatus, JobStatuses
from nas.jobs.requests import TrainingRequest
from nas.store.tenancy import Viewer

router = APIRouter(tags=["trainings"], dependencies=[require_scope("read")])


@router.post(
    "/v1/supernets",
    status_code=202,
    response_model=TrainingOut,
    dependencies=[require_scope("submit"), Depends(refuse_parameters), Depends(require_json)],
)
def start_training(
    asked: TrainingRequest, response: Response, trainings: TrainingsDep, submitting: SubmittingDep
) -> Any:  # noqa: ANN401 - the stored answer, which response_model describes
    """Queues the training of a supernet on embedded or uploaded data; the Location header has the address of its state.

    It has the epochs that are done and the seconds that are left. A worker that is killed loses at most 30 seconds of
    training (`checkpoint_every_s` in `settings`). The same data and settings give the same supernet, which is then
    not trained again. Problems: `queue-full` (429) if too many jobs are waiting.
    """
    return submitting.accept(
        asked,
        lambda: [submitting.requests.training(asked)],
        lambda job_id: training_out(_find(trainings, job_id, submitting.caller.viewer)),
        response,
    )


@router.get("/v1/trainings", dependencies=[Depends(refuse_repeated_parameters)])
def list_trainings(
    request: Request,
    response: Response,
    query: Annotated[TrainingsQuery, Query()],
    trainings: TrainingsDep,
    viewer: ViewerDep,
) -> TrainingsOut:
    """Lists the trainings, newest first, a page at a time."""
    found, following = trainings.page(
        page_of(query), state=query.state, space=space_of_query(query.space), viewer=viewer
    )
    return TrainingsOut(
        trainings=[training_out(status) for status in found],
        next_page_token=next_page(request, response, following),
    )


@router.get("/v1/trainings/{training_id:segment}", dependencies=[Depends(refuse_repeated_parameters)])
async def get_training(
    training_id: str,
    query: Annotated[WaitQuery, Query()],
    trainings: TrainingsDep,
    viewer: ViewerDep,
    watches: WatchesDep,
) -> TrainingOut:
    """The state of a training. With `wait`, the answer comes once it has ended, or after that many seconds."""
    status = await watches.until(
        lambda: _find(trainings, training_id, viewer), lambda found: found.job.ended, seconds=query.wait
    )
    return training_out(status)


@router.get(
    "/v1/trainings/{training_id:segment}/events",
    response_class=Response,
    responses=EVENT_STREAM,
    dependencies=[Depends(refuse_parameters)],
)
async def stream_training_events(
    training_id: str,
    trainings: TrainingsDep,
    store: StoreDep,
    viewer: ViewerDep,
    watches: WatchesDep,
    last_event_id: LastEventId = 0,
) -> Response:
    """Streams the training's changes of state and its progress as server-sent events."""
    events = JobEvents(store)

    def follow(after: int) -> tuple[Any, bool]:
        ended = _find(trainings, training_id, viewer).job.ended
        return events.after(training_id, after), ended

    return await event_stream(watches, follow, last_event_id)


@router.post(
    "/v1/trainings/{training_id:segment}:cancel",
    dependencies=[require_scope("submit"), Depends(refuse_parameters)],
)
def cancel_training(
    training_id: str, trainings: TrainingsDep, queue: QueueDep, caller: CallerDep, change: ChangeDep
) -> TrainingOut:
    """Cancels a training: a running one at its next step, a queued one at once; an ended one stays as it is.

    The same request continues at the step where it stopped.
    """
    queue.cancel(_owned(trainings, training_id, caller).job.id, change=change)
    return training_out(_find(trainings, training_id, caller.viewer))


@router.delete(
    "/v1/trainings/{training_id:segment}",
    status_code=204,
    dependencies=[require_scope("submit"), Depends(refuse_parameters)],
)
def delete_training(training_id: str, trainings: TrainingsDep, deletions: DeletionsDep, caller: CallerDep) -> None:
    """Deletes a training that has ended; its supernet is kept.

    Problems: `still-active` (409).
    """
    deletions.training(_owned(trainings, training_id, caller).job.id)


def _find(trainings: JobStatuses, training_id: str, viewer: Viewer) -> JobStatus:
    found = trainings.find(training_id, viewer) if is_id(training_id) else None
    if found is None:
        raise not_found("unknown-training", f"no training {training_id!r} is stored.")
    return found


def _owned(trainings: JobStatuses, training_id: str, caller: Caller) -> JobStatus:
    status = _find(trainings, training_id, caller.viewer)
    caller.require_owner(status.job.tenant)
    return status
