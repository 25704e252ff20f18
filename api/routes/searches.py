"""Searches: requested here, run by worker processes or on the command line."""

import base64
import json
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from api.dependencies import QueueDep, StatusesDep, StoreDep, refuse_parameters, refuse_repeated_parameters
from api.json_bodies import require_json
from api.lookups import find_device, is_id, space_of_field, supernet_of_body
from api.problems import invalid_field, not_found
from api.wire import JobErrorOut, SearchesOut, SearchesQuery, SearchOut, SearchRequest
from nas.jobs.search_statuses import PageStart, SearchStatus, SearchStatuses

router = APIRouter(tags=["searches"])


@router.post("/v1/searches", status_code=202, dependencies=[Depends(refuse_parameters), Depends(require_json)])
def start_search(
    asked: SearchRequest, response: Response, store: StoreDep, queue: QueueDep, statuses: StatusesDep
) -> SearchOut:
    """Queues a search; the Location header has the address of its state."""
    if find_device(store, asked.device) is None:
        raise invalid_field("body", "device", f"no device {asked.device!r} is known; GET /v1/devices lists them")
    space = space_of_field("body", asked.space)
    supernet = supernet_of_body(store, space, asked.supernet)
    request = asked.model_dump(mode="json") | {
        "space": space,
        "supernet": supernet.id,
        "limits": asked.limits.constraints().as_limits(),
    }
    job = queue.enqueue("search", request)
    response.headers["Location"] = f"/v1/searches/{job.id}"
    return _search_out(_find(statuses, job.id))


@router.get("/v1/searches", dependencies=[Depends(refuse_repeated_parameters)])
def list_searches(
    request: Request, response: Response, query: Annotated[SearchesQuery, Query()], statuses: StatusesDep
) -> SearchesOut:
    """Searches of the service and of the command line, newest first, a page at a time.

    While there are more, `next_page_token` (as `page_token` of the next request) and the Link header with
    `rel="next"` lead to the next page.
    """
    after = None if query.page_token is None else _page_start(query.page_token)
    found, following = statuses.page(page_size=query.page_size, after=after, state=query.state, device=query.device)
    token = None if following is None else _page_token(following)
    if token is not None:
        following_url = request.url.include_query_params(page_token=token)
        response.headers["Link"] = f'<{following_url.path}?{following_url.query}>; rel="next"'
    return SearchesOut(searches=[_search_out(status) for status in found], next_page_token=token)


@router.get("/v1/searches/{search_id:segment}", dependencies=[Depends(refuse_parameters)])
def get_search(search_id: str, statuses: StatusesDep) -> SearchOut:
    """The state of a search, whether a request or the command line started it.

    `interrupted` is a search of the command line whose process has ended; `hwnas search resume` continues it.
    """
    return _search_out(_find(statuses, search_id))


@router.post("/v1/searches/{search_id:segment}:cancel", dependencies=[Depends(refuse_parameters)])
def cancel_search(search_id: str, statuses: StatusesDep) -> SearchOut:
    """Cancels a search, whether a request or the command line started it.

    A running one stops at its next step (until then `cancel_requested` is true), a queued or interrupted one
    at once; one that has ended stays as it is.
    """
    return _search_out(statuses.cancel(_find(statuses, search_id).id))


def _find(statuses: SearchStatuses, search_id: str) -> SearchStatus:
    found = statuses.find(search_id) if is_id(search_id) else None
    if found is None:
        raise not_found("unknown-search", f"no search {search_id!r} is stored.")
    return found


def _page_token(start: PageStart) -> str:
    text = json.dumps([start.created_at.isoformat(), start.id])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _page_start(token: str) -> PageStart:
    try:
        moment, search_id = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        start = PageStart(datetime.fromisoformat(moment), search_id)
        if start.created_at.tzinfo is None or not isinstance(search_id, str) or not is_id(search_id):
            raise ValueError
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise invalid_field("query", "page_token", "not a token of this service; start without one") from error
    return start


def _search_out(status: SearchStatus) -> SearchOut:
    job, search = status.job, status.search
    running = status.state in ("queued", "running", "interrupted")
    return SearchOut(
        id=status.id,
        kind="search",
        state=status.state,
        url=f"/v1/searches/{status.id}",
        request=dict(status.request),
        progress=None if job is None or job.progress is None else dict(job.progress),
        result=None if job is None or job.result is None else dict(job.result),
        error=None
        if job is None or job.error is None
        else JobErrorOut(code=job.error["code"], message=job.error["message"]),
        attempts=1 if job is None else job.attempts,
        created_at=status.created_at,
        started_at=status.created_at if job is None else job.started_at,
        finished_at=(None if running or search is None else search.updated_at) if job is None else job.finished_at,
        device=status.device,
        evaluations=status.evaluations,
        cancel_requested=status.cancel_requested,
        front=None if status.front_id is None else f"/v1/fronts/{status.front_id}",
    )
