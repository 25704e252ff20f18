"""Trainings of supernets: requested here, run by worker processes."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api.dependencies import (
    TrainingsDep,
    ViewerDep,
    refuse_parameters,
    refuse_repeated_parameters,
    require_scope,
    trainings_of,
)
from api.job_routes import JobDescriptions, JobResource, add_job_routes
from api.job_states import training_out
from api.job_wire import TrainingOut, TrainingsOut, TrainingsQuery
from api.json_bodies import require_json
from api.lookups import space_of_query
from api.pages import next_page, page_of
from api.submitting import SubmittingDep
from nas.jobs.deletion import Deletions
from nas.jobs.requests import TrainingRequest

router = APIRouter(tags=["trainings"], dependencies=[require_scope("read")])
_TRAININGS = JobResource(
    kind="training",
    scope="submit",
    statuses=trainings_of,
    answer=training_out,
    answer_type=TrainingOut,
    delete=Deletions.training,
    descriptions=JobDescriptions(
        get="The state of a training. With `wait`, the answer comes once it has ended, or after that many seconds.",
        cancel="""Cancels a training: a running one at its next step, a queued one at once; an ended one stays as it is.

        The same request continues at the step where it stopped.
        """,
        delete="""Deletes a training that has ended; its supernet is kept.

        Problems: `still-active` (409).
        """,
    ),
)
add_job_routes(router, _TRAININGS)


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
        lambda job_id: training_out(_TRAININGS.find(trainings, job_id, submitting.caller.viewer)),
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
