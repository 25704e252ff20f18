"""Searches: requested here, run by worker processes or on the command line."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api.dependencies import (
    SearchesDep,
    ViewerDep,
    refuse_parameters,
    refuse_repeated_parameters,
    require_scope,
    searches_of,
)
from api.job_routes import JobDescriptions, JobResource, add_job_routes
from api.job_states import search_out
from api.job_wire import SearchesOut, SearchesQuery, SearchOut
from api.json_bodies import require_json
from api.lookups import space_of_query
from api.pages import next_page, page_of
from api.submitting import SubmittingDep
from nas.jobs.deletion import Deletions
from nas.jobs.requests import SearchRequest

router = APIRouter(tags=["searches"], dependencies=[require_scope("read")])
_SEARCHES = JobResource(
    kind="search",
    scope="submit",
    statuses=searches_of,
    answer=search_out,
    answer_type=SearchOut,
    delete=Deletions.search,
    descriptions=JobDescriptions(
        get="""The state of a search, whether a request or the command line started it.

        With `wait`, the answer comes once the search has ended, or after that many seconds. `interrupted` is a search
        of the command line whose process has ended; `hwnas search resume` continues it.
        """,
        cancel="""Cancels a search, whether a request or the command line started it.

        A running one stops at its next step (until then `cancel_requested` is true), a queued or interrupted one
        at once; one that has ended stays as it is.
        """,
        delete="""Deletes a search that has ended or is interrupted. What it measured is kept.

        Problems: `still-active` (409), and `still-referenced` (409) with `referrers` if it has a front or is a member
        of a batch.
        """,
    ),
)
add_job_routes(router, _SEARCHES)


@router.post(
    "/v1/searches",
    status_code=202,
    response_model=SearchOut,
    dependencies=[require_scope("submit"), Depends(refuse_parameters), Depends(require_json)],
)
def start_search(
    asked: SearchRequest,
    response: Response,
    searches: SearchesDep,
    submitting: SubmittingDep,
) -> Any:  # noqa: ANN401 - the stored answer, which response_model describes
    """Queues a search; the Location header has the address of its state.

    Problems: `queue-full` (429) if too many jobs are waiting, `quota-exceeded` (429) if the quota of the API key is
    used up, `beyond-quota` (403) if it never allows this.
    """
    return submitting.accept(
        asked,
        lambda: [submitting.requests.search(asked)],
        lambda search_id: search_out(_SEARCHES.find(searches, search_id, submitting.caller.viewer)),
        response,
    )


@router.get("/v1/searches", dependencies=[Depends(refuse_repeated_parameters)])
def list_searches(
    request: Request,
    response: Response,
    query: Annotated[SearchesQuery, Query()],
    searches: SearchesDep,
    viewer: ViewerDep,
) -> SearchesOut:
    """Lists the searches of the service and of the command line, newest first, a page at a time.

    While there are more, `next_page_token` (as `page_token` of the next request) and the Link header with
    `rel="next"` lead to the next page.
    """
    found, following = searches.page(
        page_of(query),
        state=query.state,
        device=query.device,
        space=space_of_query(query.space),
        viewer=viewer,
    )
    return SearchesOut(
        searches=[search_out(status) for status in found], next_page_token=next_page(request, response, following)
    )
