"""Pareto fronts: the stored bytes, or those members that satisfy limits."""

import hashlib
import json
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from api.conditional import conditional
from api.dependencies import StoreDep, refuse_parameters, refuse_repeated_parameters
from api.lookups import device_of_path, is_hash, space_of_field
from api.problems import ProblemError, invalid_field, not_found
from api.wire import ParetoQuery
from nas.store import Store
from nas.store.fronts import FrontInfo, FrontMember, Limits
from nas.store.violations import nearest_member, unmet_limits

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
def pareto(request: Request, device_id: str, query: Annotated[ParetoQuery, Query()], store: StoreDep) -> Response:
    """The device's newest front.

    Without limits: the stored bytes, with a strong ETag. With limits: the same document
    holding only the members that satisfy all of them. `min_accuracy` is compared with
    `accuracy_val`: test accuracy chooses nothing. Paths of artifacts in the document are
    relative to `/v1/`: `artifacts/{sha256}`.

    Problems: `unknown-device` (404), `no-front` (404), `front-damaged` (410), and `limits-not-met` (409), which carries
    `nearest`, the member with the least violation (`null` where the front is empty), and `unmet`: each
    limit that it misses, as `limit`, `asked`, `nearest` and `best` (the best of all members).
    """
    device_of_path(store, device_id)
    front = _newest_front(store, device_id, query.space)
    limits = Limits(
        max_latency_p95_ms=query.max_latency_p95_ms,
        max_size_bytes=query.max_size_bytes,
        min_accuracy=query.min_accuracy,
    )
    if limits == Limits():
        return _stored_bytes(request, store, front, _REVALIDATE)
    document = json.loads(store.fronts.body(front.id))
    members = store.fronts.members(front.id, limits)
    if not members:
        raise _not_met(document, store.fronts.members(front.id), limits)
    document["members"] = [document["members"][member.position] for member in members]
    body = json.dumps(document, allow_nan=False).encode()
    return conditional(request, lambda: body, hashlib.sha256(body).hexdigest(), cache_control=_REVALIDATE)


@router.get(
    "/v1/fronts/{front_id}",
    response_class=Response,
    responses=_FRONT,
    dependencies=[Depends(refuse_parameters)],
)
def front(request: Request, front_id: str, store: StoreDep) -> Response:
    """One front, newest or not: its stored bytes, which never change.

    Problems: `unknown-front` (404), `front-damaged` (410).
    """
    found = store.fronts.find(front_id) if is_hash(front_id) else None
    if found is None:
        raise not_found("unknown-front", f"no front {front_id!r} is stored.")
    return _stored_bytes(request, store, found, _FOREVER)


def _stored_bytes(request: Request, store: Store, front: FrontInfo, cache_control: str) -> Response:
    return conditional(request, lambda: store.fronts.body(front.id), front.etag, cache_control=cache_control)


def _newest_front(store: Store, device_id: str, asked_space: str | None) -> FrontInfo:
    space = None if asked_space is None else space_of_field("query", asked_space)
    if space is None and len(spaces := store.fronts.spaces(device_id)) > 1:
        raise invalid_field("query", "space", f"needed: this device has fronts in {', '.join(spaces)}")
    front = store.fronts.latest(device_id, space=space)
    if front is None:
        where = "" if space is None else f" in {space}"
        detail = f"device {device_id!r} is known but has no front{where} yet; POST /v1/searches starts a search."
        raise not_found("no-front", detail)
    return front


def _not_met(document: dict[str, Any], members: tuple[FrontMember, ...], limits: Limits) -> ProblemError:
    nearest = nearest_member(members, limits)
    if nearest is None:
        more: dict[str, Any] = {"nearest": None, "unmet": []}
        detail = "the front has no members, so no limit can be met."
    else:
        unmet = unmet_limits(nearest, members, limits)
        more = {
            "nearest": document["members"][nearest.position],
            "unmet": [
                {"limit": entry.limit, "asked": entry.asked, "nearest": entry.nearest, "best": entry.best}
                for entry in unmet
            ],
        }
        misses = ", ".join(f"{e.limit} = {e.asked:g} (nearest {e.nearest:g}, best {e.best:g})" for e in unmet)
        detail = f"no member of the front satisfies all limits; the nearest one misses {misses}."
    return ProblemError(HTTPStatus.CONFLICT, "limits-not-met", detail, more=more)
