"""Searches: requested here, run by worker processes or on the command line."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api.callers import Caller
from api.dependencies import (
    CallerDep,
    ChangeDep,
    DeletionsDep,
    StatusesDep,
    StoreDep,
    ViewerDep,
    WatchesDep,
    refuse_parameters,
    refuse_repeated_parameters,
    require_scope,
)
from api.event_streams import EVENT_STREAM, LastEventId, event_stream
from api.job_states import search_out
from api.job_wire import SearchesOut, SearchesQuery, SearchOut, WaitQuery
from api.json_bodies import require_json
from api.lookups import is_id
from api.pages import next_page, page_of
from api.problems import not_found
from api.submitting import SubmittingDep
from nas.jobs.events import JobEvents
from nas.jobs.requests import SearchRequest
from nas.jobs.search_events import search_events
from nas.jobs.search_statuses import SearchStatus, SearchStatuses
from nas.store.tenancy import Viewer

router = APIRouter(tags=["searches"], dependencies=[require_scope("read")])
_ACTIVE = ("queued", "running")


@router.post(
    "/v1/searches",
    status_code=202,
    response_model=SearchOut,
    dependencies=[require_scope("submit"), Depends(refuse_parameters), Depends(require_json)],
)
def start_search(
    asked: SearchRequest,
    response: Response,
    statuses: StatusesDep,
    submitting: SubmittingDep,
) -> Any:  # noqa: ANN401 - the stored answer, which response_model describes
    """Queues a search; the Location header has the address of its state.

    Problems: `queue-full` (429) if too many jobs are waiting, `quota-exceeded` (429) if the quota of the API key is
    used up, `beyond-quota` (403) if it never allows this.
    """
    return submitting.accept(
        asked,
        lambda: [submitting.requests.search(asked)],
        lambda search_id: search_out(_find(statuses, search_id, submitting.caller.viewer)),
        response,
    )


@router.get("/v1/searches", dependencies=[Depends(refuse_repeated_parameters)])
def list_searches(
    request: Request,
    response: Response,
    query: Annotated[SearchesQuery, Query()],
    statuses: StatusesDep,
    viewer: ViewerDep,
) -> SearchesOut:
    """Lists the searches of the service and of the command line, newest first, a page at a time.

    While there are more, `next_page_token` (as `page_token` of the next request) and the Link header with
    `rel="next"` lead to the next page.
    """
    found, following = statuses.page(
        page_of(query), state=query.state, device=query.device, space=query.space, viewer=viewer
    )
    return SearchesOut(
        searches=[search_out(status) for status in found], next_page_token=next_page(request, response, following)
    )


@router.get("/v1/searches/{search_id:segment}", dependencies=[Depends(refuse_repeated_parameters)])
async def get_search(
    search_id: str, query: Annotated[WaitQuery, Query()], statuses: StatusesDep, viewer: ViewerDep, watches: WatchesDep
) -> SearchOut:
    """The state of a search, whether a request or the command line started it.

    With `wait`, the answer comes once the search has ended, or after that many seconds. `interrupted` is a search
    of the command line whose process has ended; `hwnas search resume` continues it.
    """
    status = await watches.until(
        lambda: _find(statuses, search_id, viewer),
        lambda found: found.state not in _ACTIVE,
        seconds=query.wait,
    )
    return search_out(status)


@router.get(
    "/v1/searches/{search_id:segment}/events",
    response_class=Response,
    responses=EVENT_STREAM,
    dependencies=[Depends(refuse_parameters)],
)
async def stream_search_events(
    search_id: str,
    statuses: StatusesDep,
    store: StoreDep,
    viewer: ViewerDep,
    watches: WatchesDep,
    last_event_id: LastEventId = 0,
) -> Response:
    """Streams the search's changes of state and its progress as server-sent events."""
    events = JobEvents(store)

    def follow(after: int) -> tuple[Any, bool]:
        status = _find(statuses, search_id, viewer)
        ended = status.state not in _ACTIVE
        if status.job is not None:
            return events.after(search_id, after), ended
        return [event for event in search_events(store, status) if event.number > after], ended

    return await event_stream(watches, follow, last_event_id)


@router.post(
    "/v1/searches/{search_id:segment}:cancel", dependencies=[require_scope("submit"), Depends(refuse_parameters)]
)
def cancel_search(search_id: str, statuses: StatusesDep, caller: CallerDep, change: ChangeDep) -> SearchOut:
    """Cancels a search, whether a request or the command line started it.

    A running one stops at its next step (until then `cancel_requested` is true), a queued or interrupted one
    at once; one that has ended stays as it is.
    """
    return search_out(statuses.cancel(_owned(statuses, search_id, caller).id, change=change))


@router.delete(
    "/v1/searches/{search_id:segment}",
    status_code=204,
    dependencies=[require_scope("submit"), Depends(refuse_parameters)],
)
def delete_search(search_id: str, statuses: StatusesDep, deletions: DeletionsDep, caller: CallerDep) -> None:
    """Deletes a search that has ended or is interrupted. What it measured is kept.

    Problems: `still-active` (409), and `still-referenced` (409) with `referrers` if it has a front or is a member
    of a batch.
    """
    deletions.search(_owned(statuses, search_id, caller).id)


def _find(statuses: SearchStatuses, search_id: str, viewer: Viewer) -> SearchStatus:
    found = statuses.find(search_id, viewer) if is_id(search_id) else None
    if found is None:
        raise not_found("unknown-search", f"no search {search_id!r} is stored.")
    return found


def _owned(statuses: SearchStatuses, search_id: str, caller: Caller) -> SearchStatus:
    status = _find(statuses, search_id, caller.viewer)
    caller.require_owner(None if status.job is None else status.job.tenant)
    return status
