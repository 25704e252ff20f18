"""Routes of a single job, the same for every kind: its state, its events, cancelling and deleting it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from typing import Annotated, Any, Generic, Protocol, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Response

from api.callers import Caller
from api.dependencies import (
    CallerDep,
    ChangeDep,
    DeletionsDep,
    ViewerDep,
    WatchesDep,
    refuse_parameters,
    refuse_repeated_parameters,
    require_scope,
)
from api.event_streams import EVENT_STREAM, LastEventId, event_stream
from api.job_wire import JobOut, WaitQuery
from api.lookups import is_id, require_stored
from nas.jobs.deletion import Deletions
from nas.jobs.events import JobEvent
from nas.jobs.queue import JobKind, job_address
from nas.store.api_keys import Scope
from nas.store.audit import Change
from nas.store.tenancy import Viewer


class _Status(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def tenant(self) -> str | None: ...

    @property
    def ended(self) -> bool: ...


Status = TypeVar("Status", bound=_Status)


class Statuses(Protocol[Status]):
    """The jobs of one kind: what the routes need of a store."""

    def find(self, job_id: str, viewer: Viewer) -> Status | None:
        """The job, or None if there is none that the viewer may see."""
        ...

    def cancel(self, job_id: str, *, change: Change | None = None) -> Status:
        """Cancels it, if it has not ended."""
        ...

    def events(self, status: Status, *, after: int) -> Sequence[JobEvent]:
        """Its events after the one with this number, oldest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDescriptions:
    """Descriptions of the routes of one kind of job, for OpenAPI; indented as docstrings are."""

    get: str
    cancel: str
    delete: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResource(Generic[Status]):
    """One kind of job as a resource of the service."""

    kind: JobKind
    scope: Scope
    """For cancelling and deleting."""
    statuses: Callable[..., Any]
    """Dependency that gives the :class:`Statuses` of this kind."""
    answer: Callable[[Status], JobOut]
    answer_type: type[JobOut]
    delete: Callable[[Deletions, str], None]
    descriptions: JobDescriptions

    @property
    def path(self) -> str:
        """Path of a single job, with its id as a parameter."""
        return job_address(self.kind, f"{{{self.id_parameter}:segment}}")

    @property
    def id_parameter(self) -> str:
        """Name of the path parameter."""
        return f"{self.kind}_id"

    def find(self, statuses: Statuses[Status], job_id: str, viewer: Viewer) -> Status:
        """The job with this id.

        Raises:
            ProblemError: 404 if there is none that the viewer may see.
        """
        return require_stored(statuses.find(job_id, viewer) if is_id(job_id) else None, self.kind, job_id)

    def require_owned(self, statuses: Statuses[Status], job_id: str, caller: Caller) -> None:
        """Makes sure that the caller may change the job.

        Raises:
            ProblemError: 404 as :meth:`find`; 403 if it is not the caller's.
        """
        caller.require_owner(self.find(statuses, job_id, caller.viewer).tenant)


def add_job_routes(router: APIRouter, resource: JobResource[Status]) -> None:
    """Adds the routes to get, follow, cancel and delete a job of this kind."""
    _add_get(router, resource)
    _add_events(router, resource)
    _add_cancel(router, resource)
    _add_delete(router, resource)


def _add_get(router: APIRouter, resource: JobResource[Status]) -> None:
    @router.get(
        resource.path,
        name=f"get_{resource.kind}",
        description=cleandoc(resource.descriptions.get),
        response_model=resource.answer_type,
        dependencies=[Depends(refuse_repeated_parameters)],
    )
    async def get_job(
        job_id: Annotated[str, Path(alias=resource.id_parameter)],
        query: Annotated[WaitQuery, Query()],
        statuses: Annotated[Statuses[Status], Depends(resource.statuses)],
        viewer: ViewerDep,
        watches: WatchesDep,
    ) -> JobOut:
        status = await watches.until(
            lambda: resource.find(statuses, job_id, viewer), lambda found: found.ended, seconds=query.wait
        )
        return resource.answer(status)


def _add_events(router: APIRouter, resource: JobResource[Status]) -> None:
    @router.get(
        f"{resource.path}/events",
        name=f"stream_{resource.kind}_events",
        description=f"Streams the {resource.kind}'s changes of state and its progress as server-sent events.",
        response_class=Response,
        response_model=None,
        responses=EVENT_STREAM,
        dependencies=[Depends(refuse_parameters)],
    )
    async def stream_job_events(
        job_id: Annotated[str, Path(alias=resource.id_parameter)],
        statuses: Annotated[Statuses[Status], Depends(resource.statuses)],
        viewer: ViewerDep,
        watches: WatchesDep,
        last_event_id: LastEventId = 0,
    ) -> Response:
        def follow(after: int) -> tuple[Sequence[JobEvent], bool]:
            # The state comes first: a job that ends in between has events that the next look finds.
            status = resource.find(statuses, job_id, viewer)
            return statuses.events(status, after=after), status.ended

        return await event_stream(watches, follow, last_event_id)


def _add_cancel(router: APIRouter, resource: JobResource[Status]) -> None:
    @router.post(
        f"{resource.path}:cancel",
        name=f"cancel_{resource.kind}",
        description=cleandoc(resource.descriptions.cancel),
        response_model=resource.answer_type,
        dependencies=[require_scope(resource.scope), Depends(refuse_parameters)],
    )
    def cancel_job(
        job_id: Annotated[str, Path(alias=resource.id_parameter)],
        statuses: Annotated[Statuses[Status], Depends(resource.statuses)],
        caller: CallerDep,
        change: ChangeDep,
    ) -> JobOut:
        resource.require_owned(statuses, job_id, caller)
        return resource.answer(statuses.cancel(job_id, change=change))


def _add_delete(router: APIRouter, resource: JobResource[Status]) -> None:
    @router.delete(
        resource.path,
        name=f"delete_{resource.kind}",
        description=cleandoc(resource.descriptions.delete),
        status_code=204,
        dependencies=[require_scope(resource.scope), Depends(refuse_parameters)],
    )
    def delete_job(
        job_id: Annotated[str, Path(alias=resource.id_parameter)],
        statuses: Annotated[Statuses[Status], Depends(resource.statuses)],
        deletions: DeletionsDep,
        caller: CallerDep,
    ) -> None:
        resource.require_owned(statuses, job_id, caller)
        resource.delete(deletions, job_id)
