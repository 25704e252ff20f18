"""Liveness and readiness probes."""

from http import HTTPStatus

from fastapi import APIRouter, Depends

from api.dependencies import StoreDep, refuse_parameters
from api.problems import ProblemError
from api.wire import HealthOut
from nas.store.migration import HEAD_REVISION

router = APIRouter(tags=["health"], dependencies=[Depends(refuse_parameters)])


@router.get("/livez")
async def get_liveness() -> HealthOut:
    """Answers if the process is alive."""
    return HealthOut()


@router.get("/readyz")
def get_readiness(store: StoreDep) -> HealthOut:
    """Answers if the database is reachable and whole and has this version's schema; 503 otherwise.

    Problems: `store-damaged`, `store-unavailable`, `not-migrated`.
    """
    store.check()
    revision = store.schema_revision()
    if revision != HEAD_REVISION:
        detail = f"the database is at schema revision {revision}; this service needs {HEAD_REVISION}: restart it."
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, "not-migrated", detail, headers={"Retry-After": "5"})
    return HealthOut()
