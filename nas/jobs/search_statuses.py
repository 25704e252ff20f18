"""The status of searches from the service and the command line, as shown to users."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session, defer

from nas.jobs.events import JobEvent, JobEvents
from nas.jobs.figures import JobFigures, job_figures
from nas.jobs.queue import Job, JobQueue, job_of_row
from nas.jobs.search_events import search_events
from nas.store import Store
from nas.store.audit import Change
from nas.store.errors import NotStoredError
from nas.store.owners import owner_has_ended
from nas.store.pages import PageRequest, PageStart, after, following
from nas.store.searches import StoredSearch, search_of_row
from nas.store.tables import FrontRow, JobRow, SearchRow
from nas.store.tenancy import EVERYTHING, Viewer, visible_jobs

SearchStatusState = Literal["queued", "running", "interrupted", "succeeded", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchStatus:
    """The current status of a search. A job's search has its job's id."""

    id: str
    state: SearchStatusState
    device: str | None
    request: Mapping[str, Any]
    job: Job | None
    """None for a search of the command line."""
    search: StoredSearch | None
    """None before a job has started."""
    figures: JobFigures
    front_id: str | None
    created_at: datetime

    @property
    def tenant(self) -> str | None:
        """Whose API key submitted it; None for a search of the command line, or if everyone may see it."""
        return None if self.job is None else self.job.tenant

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more, unless an interrupted search is resumed."""
        return self.state not in ("queued", "running")

    @property
    def evaluations(self) -> int:
        """Real evaluations done."""
        return 0 if self.search is None else self.search.evaluations

    @property
    def cancel_requested(self) -> bool:
        """Whether a running search has been asked to stop."""
        source = self.job or self.search
        return self.state == "running" and source is not None and source.cancel_requested


class SearchStatuses:
    """The searches of a store, newest first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue = JobQueue(store)
        self._events = JobEvents(store)

    def find(self, search_id: str, viewer: Viewer = EVERYTHING) -> SearchStatus | None:
        """The search, or None if there is none that the viewer may see."""
        with self._store.database.read() as session:
            job = session.get(JobRow, search_id)
            if job is not None:
                hidden = job.tenant is not None and not viewer.owns(job.tenant)
                return None if hidden or job.kind != "search" else self._statuses(session, [job])[0]
            search = session.get(SearchRow, search_id)
            return None if search is None else self._statuses(session, [search])[0]

    def page(
        self,
        page: PageRequest,
        *,
        state: SearchStatusState | None = None,
        device: str | None = None,
        space: str | None = None,
        viewer: Viewer = EVERYTHING,
    ) -> tuple[tuple[SearchStatus, ...], PageStart | None]:
        """A page of searches, and where the next one starts; None on the last page."""
        jobs = select(JobRow).where(JobRow.kind == "search", *visible_jobs(viewer), *after(JobRow, page.after))
        searches = select(SearchRow).where(SearchRow.job_id.is_(None), *after(SearchRow, page.after))
        if device is not None:
            jobs = jobs.where(JobRow.request["device"].as_string() == device)
            searches = searches.where(SearchRow.profile_id == device)
        if space is not None:
            jobs = jobs.where(JobRow.request["space"].as_string() == space)
            searches = searches.where(SearchRow.space == space)
        if state is not None:
            jobs = jobs.where(JobRow.state == state)
        with self._store.database.read() as session:
            if state is not None:
                now = self._store.clock()
                searches = searches.where(_in_state(state, now, _ended_owners(session, now)))
            rows: list[JobRow | SearchRow] = [
                *session.scalars(jobs.order_by(JobRow.created_at.desc(), JobRow.id.desc()).limit(page.size + 1)),
                *session.scalars(
                    searches.order_by(SearchRow.created_at.desc(), SearchRow.id.desc()).limit(page.size + 1)
                ),
            ]
            rows.sort(key=lambda row: (row.created_at, row.id), reverse=True)
            return tuple(self._statuses(session, rows[: page.size])), following(rows, page.size)

    def of_jobs(self, session: Session, rows: Sequence[JobRow]) -> list[SearchStatus]:
        """The searches of these jobs, in their order."""
        return self._statuses(session, rows)

    def beginning_with(self, start: str) -> tuple[SearchStatus, ...]:
        """Searches whose id begins so, newest first."""
        jobs = select(JobRow).where(JobRow.kind == "search", JobRow.id.startswith(start, autoescape=True))
        searches = select(SearchRow).where(SearchRow.job_id.is_(None), SearchRow.id.startswith(start, autoescape=True))
        with self._store.database.read() as session:
            rows: list[JobRow | SearchRow] = [*session.scalars(jobs), *session.scalars(searches)]
            rows.sort(key=lambda row: (row.created_at, row.id), reverse=True)
            return tuple(self._statuses(session, rows))

    def cancel(self, search_id: str, *, change: Change | None = None) -> SearchStatus:
        """Cancels: a running search stops at its next step, others at once; an ended one stays as it is.

        Raises:
            NotStoredError: if there is none with this id.
        """
        status = self.find(search_id)
        if status is None:
            raise NotStoredError("search", search_id)
        if status.job is None:
            self._store.searches.request_cancel(search_id, change=change)
        else:
            ended = self._queue.cancel(search_id, change=change).state == "cancelled"
            if ended and status.search is not None and status.search.state == "running":
                self._store.searches.end(status.search.id, "cancelled")
        return self.find(search_id) or status

    def events(self, status: SearchStatus, *, after: int) -> Sequence[JobEvent]:
        """The search's events after the one with this number, oldest first."""
        if status.job is not None:
            return self._events.after(status.id, after)
        if status.search is None:
            return ()
        generations = self._store.searches.generations(status.id)
        return [event for event in search_events(status.search, generations) if event.number > after]

    def _statuses(self, session: Session, rows: Sequence[JobRow | SearchRow]) -> list[SearchStatus]:
        now = self._store.clock()
        job_ids = [row.id for row in rows if isinstance(row, JobRow)]
        of_jobs = {row.job_id: row for row in session.scalars(select(SearchRow).where(SearchRow.job_id.in_(job_ids)))}
        searches = {row.id: row if isinstance(row, SearchRow) else of_jobs.get(row.id) for row in rows}
        figures = job_figures(session, [row.id for row in rows])
        fronts = _newest_fronts(session, [row.id for row in searches.values() if row is not None])
        statuses = []
        for row in rows:
            search_row = searches[row.id]
            search = None if search_row is None else search_of_row(search_row, now)
            job = job_of_row(row) if isinstance(row, JobRow) else None
            state: SearchStatusState = "queued"
            if job is not None:
                state = job.state
            elif search is not None:
                state = search.state
            statuses.append(
                SearchStatus(
                    id=row.id,
                    state=state,
                    device=row.request.get("device") if isinstance(row, JobRow) else row.profile_id,
                    request=row.request if isinstance(row, JobRow) else row.settings,
                    job=job,
                    search=search,
                    figures=figures[row.id],
                    front_id=None if search is None else fronts.get(search.id),
                    created_at=row.created_at,
                )
            )
        return statuses


def _ended_owners(session: Session, now: datetime) -> list[str]:
    """Processes that hold a search and are known to have ended."""
    query = select(SearchRow.owner).where(_held(now), SearchRow.state == "running", SearchRow.owner.is_not(None))
    return [owner for owner in session.scalars(query.distinct()) if owner is not None and owner_has_ended(owner)]


def _held(now: datetime) -> ColumnElement[bool]:
    return and_(SearchRow.lease_until.is_not(None), SearchRow.lease_until > now)


def _in_state(state: SearchStatusState, now: datetime, ended_owners: Sequence[str]) -> ColumnElement[bool]:
    """Condition for the state of a command-line search, as in :attr:`nas.store.searches.StoredSearch.state`."""
    held = and_(_held(now), or_(SearchRow.owner.is_(None), SearchRow.owner.not_in(ended_owners)))
    unheld = or_(SearchRow.lease_until.is_(None), SearchRow.lease_until <= now, SearchRow.owner.in_(ended_owners))
    if state in ("running", "interrupted"):
        return and_(SearchRow.state == "running", held if state == "running" else unheld)
    return SearchRow.state == state


def _newest_fronts(session: Session, search_ids: Sequence[str]) -> dict[str, str]:
    query = select(FrontRow).options(defer(FrontRow.body)).where(FrontRow.search_id.in_(search_ids))
    # Oldest first: the newest of a search is what stays.
    rows = session.scalars(query.order_by(FrontRow.created_at, FrontRow.id.desc()))
    return {row.search_id: row.id for row in rows}
