"""Trained supernets."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from api.dependencies import StoreDep, refuse_parameters, refuse_repeated_parameters, require_scope
from api.lookups import is_hash, space_of_query
from api.pages import next_page, page_of
from api.problems import not_found
from api.wire import SupernetOut, SupernetsOut, SupernetsQuery
from nas.store.supernets import StoredSupernet

router = APIRouter(tags=["supernets"], dependencies=[require_scope("read")])


@router.get("/v1/supernets", dependencies=[Depends(refuse_repeated_parameters)])
def list_supernets(
    request: Request, response: Response, query: Annotated[SupernetsQuery, Query()], store: StoreDep
) -> SupernetsOut:
    """Lists the trained supernets, newest first, a page at a time."""
    found, following = store.supernets.page(page_of(query), space=space_of_query(query.space), data_name=query.data)
    return SupernetsOut(
        supernets=[_supernet_out(one) for one in found], next_page_token=next_page(request, response, following)
    )


@router.get("/v1/supernets/{supernet_id:segment}", dependencies=[Depends(refuse_parameters)])
def get_supernet(supernet_id: str, store: StoreDep) -> SupernetOut:
    """One trained supernet: its space, its data and what it reached."""
    stored = store.supernets.find(supernet_id) if is_hash(supernet_id) else None
    if stored is None:
        raise not_found("unknown-supernet", f"no supernet {supernet_id!r} is stored.")
    return _supernet_out(stored)


def _supernet_out(stored: StoredSupernet) -> SupernetOut:
    return SupernetOut(
        id=stored.id,
        url=f"/v1/supernets/{stored.id}",
        space=stored.space,
        task=stored.task.as_json(),
        data=stored.data_name,
        data_fingerprint=stored.data_fingerprint,
        metrics=dict(stored.metrics),
        created_at=stored.created_at,
    )
