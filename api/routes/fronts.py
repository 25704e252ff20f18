"""Pareto fronts and recommendations: what was verified on a device, within limits."""

import hashlib
import json
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from api.conditional import conditional
from api.dependencies import AnswersDep, FrontsDep, StoreDep, refuse_parameters, refuse_repeated_parameters
from api.lookups import device_of_path, is_hash, space_of_field
from api.problems import ProblemError, not_found
from api.wire import ParetoQuery, RecommendationOut
from nas.fronts.device_fronts import DeviceFronts
from nas.fronts.limits import LimitsNotMetError, best_accuracy, rows_within
from nas.fronts.merged import MergedFront

router = APIRouter(tags=["fronts"])

_REVALIDATE: Final = "no-cache"
_FOREVER: Final = "public, max-age=31536000, immutable"
_FRONT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "A front, `hwnas.front/1`.", "content": {"application/json": {}}}
}


@router.get(
    "/v1/devices/{device_id:path}/pareto",
    response_class=Response,
    responses={**_FRONT, 304: {"description": "The client holds these bytes already."}},
    dependencies=[Depends(refuse_repeated_parameters)],
)
def pareto(
    request: Request,
    device_id: str,
    query: Annotated[ParetoQuery, Query()],
    store: StoreDep,
    fronts: FrontsDep,
    answers: AnswersDep,
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
    device_of_path(store, device_id)
    front = _merged(fronts, device_id, query)
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


@router.get("/v1/devices/{device_id:path}/recommendation", dependencies=[Depends(refuse_repeated_parameters)])
def recommendation(
    device_id: str, query: Annotated[ParetoQuery, Query()], store: StoreDep, fronts: FrontsDep
) -> RecommendationOut:
    """The network with the best expected accuracy among those on the device's Pareto front that meet all limits.

    Of networks with equal accuracy, the fastest. Parameters and problems are those of the Pareto front.
    """
    device_of_path(store, device_id)
    front = _merged(fronts, device_id, query)
    constraints = query.constraints()
    try:
        row = best_accuracy(front.values, constraints)
    except LimitsNotMetError as error:
        raise _not_met(front, error) from error
    answer = front.recommendation(row, constraints)
    return RecommendationOut.model_validate(answer | {"front": f"/v1/fronts/{answer['front']}"})


@router.get(
    "/v1/fronts/{front_id}",
    response_class=Response,
    responses=_FRONT,
    dependencies=[Depends(refuse_parameters)],
)
def front(request: Request, front_id: str, store: StoreDep, answers: AnswersDep) -> Response:
    """The front of one search: its stored bytes, which never change.

    Problems: `unknown-front` (404), `front-damaged` (410).
    """
    found = store.fronts.find(front_id) if is_hash(front_id) else None
    if found is None:
        raise not_found("unknown-front", f"no front {front_id!r} is stored.")
    response = conditional(request, lambda: store.fronts.body(found.id), found.etag, cache_control=_FOREVER)
    if response.status_code == HTTPStatus.OK:
        answers.keep(request, response, bytes(response.body), found.etag, immutable=True)
    return response


def _merged(fronts: DeviceFronts, device_id: str, query: ParetoQuery) -> MergedFront:
    space = None if query.space is None else space_of_field("query", query.space)
    return fronts.merged(device_id, space=space, data=query.data, supernet=query.supernet)


def _not_met(front: MergedFront, error: LimitsNotMetError) -> ProblemError:
    nearest = None if error.nearest is None else front.document["members"][error.nearest]
    more = {"nearest": nearest, "unmet": error.unmet_as_json()}
    return ProblemError(HTTPStatus.CONFLICT, error.code, str(error), more=more)
