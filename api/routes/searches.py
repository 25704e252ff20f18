"""Searches: asked for here, run by worker processes."""

from fastapi import APIRouter, Depends, Response

from api.dependencies import QueueDep, StoreDep, refuse_parameters
from api.job_states import job_out
from api.lookups import find_device, is_id, space_of_field, supernet_of_body
from api.problems import invalid_field, not_found
from api.wire import JobOut, SearchOut, SearchRequest
from nas.jobs.queue import Job
from nas.store import Store
from nas.store.searches import StoredSearch

router = APIRouter(tags=["searches"], dependencies=[Depends(refuse_parameters)])


@router.post("/v1/searches", status_code=202)
def start_search(asked: SearchRequest, response: Response, store: StoreDep, queue: QueueDep) -> SearchOut:
    """Queues a search; Location says where its state is."""
    if find_device(store, asked.device) is None:
        raise invalid_field("body", "device", f"no device {asked.device!r} is known; GET /v1/devices lists them")
    space = space_of_field("body", asked.space)
    supernet = supernet_of_body(store, space, asked.supernet)
    request = asked.model_dump(mode="json") | {"space": space, "supernet": supernet.id}
    job = queue.enqueue("search", request)
    response.headers["Location"] = f"/v1/searches/{job.id}"
    return _from_job(store, job)


@router.get("/v1/searches/{search_id}")
def get_search(search_id: str, store: StoreDep, queue: QueueDep) -> SearchOut:
    """The state of a search, whether a request or the command line started it."""
    if is_id(search_id):
        job = queue.find(search_id, kind="search")
        if job is not None:
            return _from_job(store, job)
        search = store.searches.find(search_id)
        if search is not None:
            return _from_command_line(store, search)
    raise not_found("unknown-search", f"no search {search_id!r} is stored.")


def _from_job(store: Store, job: Job) -> SearchOut:
    search = store.searches.of_job(job.id)
    state = job_out(job, f"/v1/searches/{job.id}")
    return _with_front(store, state, search)


def _from_command_line(store: Store, search: StoredSearch) -> SearchOut:
    ended = search.state != "running"
    state = JobOut(
        id=search.id,
        kind="search",
        state=search.state,
        url=f"/v1/searches/{search.id}",
        request=dict(search.settings),
        progress=None,
        result=None,
        error=None,
        attempts=1,
        created_at=search.created_at,
        started_at=search.created_at,
        finished_at=search.updated_at if ended else None,
    )
    return _with_front(store, state, search)


def _with_front(store: Store, state: JobOut, search: StoredSearch | None) -> SearchOut:
    front = None if search is None else store.fronts.of_search(search.id)
    return SearchOut(
        **state.model_dump(),
        evaluations=0 if search is None else search.evaluations,
        front=None if front is None else f"/v1/fronts/{front.id}",
    )
