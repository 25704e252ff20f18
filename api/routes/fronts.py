"""Pareto fronts and recommendations: what was verified on a device, within limits."""

import hashlib
import json
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from api.conditional import cache_for_ever, conditional
from api.dependencies import (
    AnswersDep,
    CallerDep,
    DeletionsDep,
    FrontsDep,
    SearchesDep,
    StoreDep,
    ViewerDep,
    refuse_parameters,
    refuse_repeated_parameters,
    require_scope,
)
from api.front_wire import FrontOut, LimitsProblem
from api.lookups import device_of_path, is_hash, require_stored, space_of_query
from api.pages import next_page, page_of
from api.problems import ProblemError
from api.wire import FrontInfoOut, FrontsOut, FrontsQuery, ParetoQuery, RecommendationOut
from nas.fronts.device_fronts import DeviceFronts
from nas.fronts.limits import LimitsNotMetError, best_accuracy, rows_within
from nas.fronts.merged import MergedFront
from nas.store import Store
from nas.store.fronts import FrontInfo
from nas.store.tenancy import Viewer

router = APIRouter(tags=["fronts"], dependencies=[require_scope("read")])

_REVALIDATE: Final = "no-cache"
_FRONT: Final[dict[int | str, dict[str, Any]]] = {200: {"description": "A front, `hwnas.front/1`.", "model": FrontOut}}
_HELD: Final[dict[str, Any]] = {"description": "The client holds these bytes already."}
_UNMET: Final[dict[str, Any]] = {
    "description": "No network meets the limits; `nearest` is the one with the smallest violation.",
    "model": LimitsProblem,
}


@router.get(
    "/v1/devices/{device_id:path}/pareto",
    response_class=Response,
    responses={**_FRONT, 304: _HELD, 409: _UNMET},
    dependencies=[Depends(refuse_repeated_parameters)],
)
def get_pareto_front(
    request: Request,
    device_id: str,
    query: Annotated[ParetoQuery, Query()],
    store: StoreDep,
    fronts: FrontsDep,
    answers: AnswersDep,
    viewer: ViewerDep,
) -> Response:
    """The Pareto front of everything verified on a device for one search space, data set and supernet.

    All fronts of the device's searches are merged: a network counts as it was verified last, and networks
    that another one dominates are left out. The ids of the fronts are in `merged` (if there are several);
    `evaluations` and `budget` are sums over the searches; `seed`, `method` and `baselines` are the newest
    front's. Fronts measured under an older fingerprint of machine, compiler and runtime are left out.
    With limits, the same document has only the members that meet all of them. `min_accuracy` is compared
    with the expected accuracy. Artifact paths are relative to `/v1/`: `artifacts/{sha256}`.

    Problems: `unknown-device` (404), `no-front` (404), `front-damaged` (410), and `limits-not-met` (409). The
    last one carries `nearest`, the member with the smallest violation (`null` if the front is empty), and
    `unmet`: each limit that it misses, as `limit`, `asked`, `nearest` and `best` (the best of all members).
    """
    device = device_of_path(store, device_id).profile.id
    front = _merged(fronts, device, query, viewer)
    constraints = query.constraints()
    if not constraints:
        response = conditional(request, lambda: front.body, front.etag, cache_control=_REVALIDATE)
        answers.keep(request, response, front.body, front.etag)
        return response
    try:
        rows = rows_within(front.values, constraints)
    except LimitsNotMetError as error:
        raise _not_met(front, error) from error
    members = front.document["members"]
    body = json.dumps(dict(front.document) | {"members": [members[row] for row in rows]}, allow_nan=False).encode()
    etag = hashlib.sha256(body).hexdigest()
    response = conditional(request, lambda: body, etag, cache_control=_REVALIDATE)
    answers.keep(request, response, body, etag)
    return response


@router.get(
    "/v1/devices/{device_id:path}/recommendation",
    responses={409: _UNMET},
    dependencies=[Depends(refuse_repeated_parameters)],
)
def get_recommendation(
    device_id: str, query: Annotated[ParetoQuery, Query()], store: StoreDep, fronts: FrontsDep, viewer: ViewerDep
) -> RecommendationOut:
    """The network with the best expected accuracy among those on the device's Pareto front that meet all limits.

    Of networks with equal accuracy, the fastest. Parameters and problems are those of the Pareto front.
    """
    device = device_of_path(store, device_id).profile.id
    front = _merged(fronts, device, query, viewer)
    constraints = query.constraints()
    try:
        row = best_accuracy(front.values, constraints)
    except LimitsNotMetError as error:
        raise _not_met(front, error) from error
    answer = front.recommendation(row, constraints)
    return RecommendationOut.model_validate(answer | {"front": f"/v1/fronts/{answer['front']}"})


@router.get("/v1/fronts", dependencies=[Depends(refuse_repeated_parameters)])
def list_fronts(
    request: Request, response: Response, query: Annotated[FrontsQuery, Query()], store: StoreDep, viewer: ViewerDep
) -> FrontsOut:
    """Lists the fronts of searches, newest first, a page at a time."""
    found, following = store.fronts.page(
        page_of(query),
        profile_id=query.device,
        space=space_of_query(query.space),
        search_id=query.search,
        viewer=viewer,
    )
    entries = [
        FrontInfoOut(
            id=info.id,
            url=f"/v1/fronts/{info.id}",
            search=f"/v1/searches/{info.search_id}",
            device=info.profile_id,
            space=info.space,
            supernet=info.supernet_id,
            etag=info.etag,
            created_at=info.created_at,
        )
        for info in found
    ]
    return FrontsOut(fronts=entries, next_page_token=next_page(request, response, following))


@router.get(
    "/v1/fronts/{front_id}",
    response_class=Response,
    responses={**_FRONT, 304: _HELD},
    dependencies=[Depends(refuse_parameters)],
)
def get_front(request: Request, front_id: str, store: StoreDep, answers: AnswersDep, viewer: ViewerDep) -> Response:
    """The front of one search: its stored bytes, which never change.

    Problems: `unknown-front` (404), `front-damaged` (410).
    """
    found = _find(store, front_id, viewer)
    response = conditional(
        request, lambda: store.fronts.body(found.id), found.etag, cache_control=cache_for_ever(request)
    )
    if response.status_code == HTTPStatus.OK:
        answers.keep(request, response, bytes(response.body), found.etag, immutable=True)
    return response


@router.delete(
    "/v1/fronts/{front_id}",
    status_code=204,
    dependencies=[require_scope("submit"), Depends(refuse_parameters)],
)
def delete_front(
    front_id: str,
    store: StoreDep,
    searches: SearchesDep,
    deletions: DeletionsDep,
    answers: AnswersDep,
    caller: CallerDep,
) -> None:
    """Deletes the front of one search. Its members' files and measurements are kept."""
    found = _find(store, front_id, caller.viewer)
    search = searches.find(found.search_id)
    caller.require_owner(None if search is None else search.tenant)
    deletions.front(found.id)
    answers.clear()


def _find(store: Store, front_id: str, viewer: Viewer) -> FrontInfo:
    return require_stored(store.fronts.find(front_id, viewer) if is_hash(front_id) else None, "front", front_id)


def _merged(fronts: DeviceFronts, device_id: str, query: ParetoQuery, viewer: Viewer) -> MergedFront:
    space = space_of_query(query.space)
    return fronts.merged(device_id, space=space, data=query.data, supernet=query.supernet, viewer=viewer)


def _not_met(front: MergedFront, error: LimitsNotMetError) -> ProblemError:
    nearest = None if error.nearest is None else front.document["members"][error.nearest]
    more = {"nearest": nearest, "unmet": error.unmet_as_json()}
    return ProblemError(HTTPStatus.CONFLICT, error.code, str(error), more=more)
