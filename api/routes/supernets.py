"""Trained supernets."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from api.dependencies import (
    CallerDep,
    DeletionsDep,
    StoreDep,
    ViewerDep,
    refuse_parameters,
    refuse_repeated_parameters,
    require_scope,
)
from api.lookups import is_hash, require_stored, space_of_query
from api.pages import next_page, page_of
from api.wire import SupernetOut, SupernetsOut, SupernetsQuery
from nas.store import Store
from nas.store.supernets import StoredSupernet
from nas.store.tenancy import Viewer

router = APIRouter(tags=["supernets"], dependencies=[require_scope("read")])


@router.get("/v1/supernets", dependencies=[Depends(refuse_repeated_parameters)])
def list_supernets(
    request: Request,
    response: Response,
    query: Annotated[SupernetsQuery, Query()],
    store: StoreDep,
    viewer: ViewerDep,
) -> SupernetsOut:
    """Lists the trained supernets, newest first, a page at a time."""
    found, following = store.supernets.page(
        page_of(query), space=space_of_query(query.space), data_name=query.data, viewer=viewer
    )
    return SupernetsOut(
        supernets=[_supernet_out(one) for one in found], next_page_token=next_page(request, response, following)
    )


@router.get("/v1/supernets/{supernet_id:segment}", dependencies=[Depends(refuse_parameters)])
def get_supernet(supernet_id: str, store: StoreDep, viewer: ViewerDep) -> SupernetOut:
    """One trained supernet: its space, its data and what it reached."""
    return _supernet_out(_find(store, supernet_id, viewer))


@router.delete(
    "/v1/supernets/{supernet_id:segment}",
    status_code=204,
    dependencies=[require_scope("admin"), Depends(refuse_parameters)],
)
def delete_supernet(supernet_id: str, store: StoreDep, deletions: DeletionsDep, caller: CallerDep) -> None:
    """Deletes a supernet with its weights. Needs the scope `admin`, as several tenants may have trained the same one.

    Problems: `still-referenced` (409) with `referrers` while a search or predictor of it is stored, or a job needs it.
    """
    deletions.supernet(_find(store, supernet_id, caller.viewer).id)


def _find(store: Store, supernet_id: str, viewer: Viewer) -> StoredSupernet:
    found = store.supernets.find(supernet_id, viewer) if is_hash(supernet_id) else None
    return require_stored(found, "supernet", supernet_id)


def _supernet_out(stored: StoredSupernet) -> SupernetOut:
    return SupernetOut(
        id=stored.id,
        url=f"/v1/supernets/{stored.id}",
        space=stored.space,
        task=stored.task.as_json(),
        data=stored.data_name,
        data_fingerprint=stored.data_fingerprint,
        data_set=None if stored.data_set_id is None else f"/v1/data-sets/{stored.data_set_id}",
        metrics=dict(stored.metrics),
        created_at=stored.created_at,
    )
