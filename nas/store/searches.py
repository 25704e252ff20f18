"""Searches and their generations, from which a killed search resumes.

A search of a job is protected by the job's lease. A search of the command line has an
owner, the process that runs it, and a lease of its own, which that process extends while
it lives. After a kill nobody does, and the search is ``interrupted`` once the lease ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, cast

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from nas.store import leases
from nas.store.audit import Change, record_change
from nas.store.database import Clock, Database, insert_missing
from nas.store.errors import NotStoredError, SearchBusyError, StoreConflictError
from nas.store.leases import Lease
from nas.store.owners import owner_has_ended, owner_name, process_owner
from nas.store.schema import table_of
from nas.store.tables import GenerationRow, SearchRow, TrialRow

SearchState = Literal["running", "interrupted", "succeeded", "failed", "cancelled"]
"""``interrupted`` is a running search of the command line whose lease or process has ended; it is not stored."""
TrialState = Literal["complete", "failed"]


EndState = Literal["succeeded", "failed", "cancelled"]
LEASE_S: Final = 30.0
"""A process of the command line that is silent for so long no longer holds its search."""
_BUDGET: Final = "evaluations"
"""The one setting that a search may be resumed with at another value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSearch:
    """One search. ``settings`` and ``seed`` with the generations determine how it goes on."""

    id: str
    job_id: str | None
    profile_id: str
    supernet_id: str
    space: str
    settings: Mapping[str, Any]
    state: SearchState
    seed: int
    evaluations: int
    """Real evaluations done, of all stored generations."""
    owner: str | None
    """Process that runs it (:func:`nas.store.owners.process_owner`); None for a job's or an ended search."""
    cancel_requested: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial of a generation, enough to rebuild Optuna's own; its place in the generation is its position."""

    genotype: tuple[int, ...]
    candidate_id: str | None
    state: TrialState
    values: tuple[float, ...] | None
    """Objectives in the study's order; None where the trial failed."""
    system_attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredGeneration:
    """One generation as it was written, whole."""

    number: int
    """From 0, without gaps."""
    evaluations: int
    """Real evaluations that it cost."""
    trials: tuple[Trial, ...]
    notes: Mapping[str, Any]
    """What the search wants to say about it, such as the predictors' revisions and the hypervolume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpec:
    """What defines a search: with the generations done so far, it determines how the search goes on."""

    id: str
    profile_id: str
    supernet_id: str
    space: str
    settings: Mapping[str, Any]
    seed: int
    job_id: str | None = None
    """The job that runs it; None for a search of the command line."""


class Searches:
    """Searches by id."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def open(self, spec: SearchSpec, *, lease: Lease | None = None) -> StoredSearch:
        """Creates a search, or reopens the stored one with the same id; it is then running.

        ``settings["evaluations"]``, the budget, may differ from the stored one. The larger of the two is
        kept, and a search that had succeeded runs again if its budget grew.

        Args:
            spec: the search.
            lease: the lease of the search's job.

        Raises:
            StoreConflictError: if the stored search differs in settings, seed, profile, space, supernet or job.
            SearchBusyError: if another live process runs it.
            LeaseLostError: if ``lease`` no longer holds.
        """
        now = self._clock()
        row = {
            "id": spec.id,
            "job_id": spec.job_id,
            "profile_id": spec.profile_id,
            "supernet_id": spec.supernet_id,
            "space": spec.space,
            "settings": dict(spec.settings),
            "seed": spec.seed,
            "state": "running",
            "evaluations": 0,
            "cancel_requested": False,
            "created_at": now,
            "updated_at": now,
        }
        with self._database.write() as session:
            leases.require(session, lease)
            insert_missing(session, table_of(SearchRow), [row])
            stored = session.get_one(SearchRow, spec.id, with_for_update=True)
            for name in ("job_id", "profile_id", "supernet_id", "space", "seed"):
                _require_same(spec.id, name, getattr(stored, name), row[name])
            _require_same(spec.id, "settings", _without_budget(stored.settings), _without_budget(spec.settings))
            grown = spec.settings.get(_BUDGET, 0) > stored.settings.get(_BUDGET, 0)
            if grown:
                stored.settings = dict(spec.settings)
            if stored.state != "succeeded" or grown:
                self._take(stored, now)
            return search_of_row(stored, now)

    def _take(self, row: SearchRow, now: datetime) -> None:
        """Marks a search as run by this process, or by the job that it belongs to."""
        if row.job_id is None:
            me = process_owner()
            held = row.state == "running" and row.lease_until is not None and row.lease_until > now
            if held and row.owner is not None and row.owner != me and not owner_has_ended(row.owner):
                raise SearchBusyError(row.id, owner_name(row.owner))
            row.owner, row.lease_until = me, now + timedelta(seconds=LEASE_S)
        row.state = "running"
        row.cancel_requested = False

    def renew(self) -> bool:
        """Extends the leases of this process's searches; returns whether one of them is to be cancelled."""
        now = self._clock()
        with self._database.write() as session:
            rows = session.scalars(_owned(process_owner()).with_for_update()).all()
            for row in rows:
                row.lease_until = now + timedelta(seconds=LEASE_S)
            return any(row.cancel_requested for row in rows)

    def release(self) -> None:
        """Ends the leases of this process's searches: those that still run are interrupted."""
        now = self._clock()
        with self._database.write() as session:
            for row in session.scalars(_owned(process_owner()).with_for_update()):
                row.lease_until = now

    def request_cancel(self, search_id: str, *, change: Change | None = None) -> StoredSearch:
        """Asks the process of a command-line search to stop; one that no process runs is cancelled at once.

        Raises:
            NotStoredError: if there is none with this id.
        """
        now = self._clock()
        with self._database.write() as session:
            row = session.get(SearchRow, search_id, with_for_update=True)
            if row is None:
                raise NotStoredError("search", search_id)
            if row.state == "running":
                row.cancel_requested = True
                alive = row.lease_until is not None and row.lease_until > now
                if not alive or (row.owner is not None and owner_has_ended(row.owner)):
                    _close(row, "cancelled", now)
            record_change(session, change, now, subject=f"/v1/searches/{search_id}")
            return search_of_row(row, now)

    def restart(self, search_id: str, *, lease: Lease | None = None) -> StoredSearch:
        """Drops a search's generations, so that it starts again now; what it evaluated and measured is kept.

        Raises:
            NotStoredError: if there is none with this id.
            LeaseLostError: if ``lease`` no longer holds.
        """
        now = self._clock()
        with self._database.write() as session:
            leases.require(session, lease)
            row = session.get(SearchRow, search_id, with_for_update=True)
            if row is None:
                raise NotStoredError("search", search_id)
            session.execute(delete(TrialRow).where(TrialRow.search_id == search_id))
            session.execute(delete(GenerationRow).where(GenerationRow.search_id == search_id))
            row.evaluations = 0
            row.created_at = row.updated_at = now
            return search_of_row(row, now)

    def find(self, search_id: str) -> StoredSearch | None:
        """The search, or None."""
        with self._database.read() as session:
            row = session.get(SearchRow, search_id)
            return None if row is None else search_of_row(row, self._clock())

    def get(self, search_id: str) -> StoredSearch:
        """The search.

        Raises:
            NotStoredError: if there is none with this id.
        """
        found = self.find(search_id)
        if found is None:
            raise NotStoredError("search", search_id)
        return found

    def all(self, *, profile_id: str | None = None) -> tuple[StoredSearch, ...]:
        """Searches, newest first."""
        query = select(SearchRow).order_by(SearchRow.created_at.desc(), SearchRow.id)
        if profile_id is not None:
            query = query.where(SearchRow.profile_id == profile_id)
        with self._database.read() as session:
            return tuple(search_of_row(row, self._clock()) for row in session.scalars(query))

    def append_generation(self, search_id: str, generation: StoredGeneration, *, lease: Lease | None = None) -> None:
        """Writes a generation and the search's count of evaluations in one transaction.

        Raises:
            NotStoredError: for an unknown search.
            StoreConflictError: if the generation is not the next one: another process was first.
            SearchBusyError: if another process has taken the search over.
            LeaseLostError: if ``lease`` no longer holds.
        """
        now = self._clock()
        with self._database.write() as session:
            leases.require(session, lease)
            search = session.get(SearchRow, search_id, with_for_update=True)
            if search is None:
                raise NotStoredError("search", search_id)
            if search.job_id is None and search.owner not in (None, process_owner()):
                raise SearchBusyError(search_id, owner_name(search.owner))
            expected = _generation_count(session, search_id)
            if generation.number != expected:
                raise StoreConflictError(
                    f"search {search_id} has generations up to {expected - 1}; {generation.number} cannot follow."
                )
            session.add(
                GenerationRow(
                    search_id=search_id,
                    generation=generation.number,
                    evaluations=generation.evaluations,
                    notes=dict(generation.notes),
                    created_at=now,
                )
            )
            session.flush()  # trials refer to it
            session.add_all(
                TrialRow(
                    search_id=search_id,
                    generation=generation.number,
                    position=position,
                    genotype=list(trial.genotype),
                    candidate_id=trial.candidate_id,
                    state=trial.state,
                    values=None if trial.values is None else list(trial.values),
                    system_attrs=dict(trial.system_attrs),
                )
                for position, trial in enumerate(generation.trials)
            )
            search.evaluations += generation.evaluations
            search.updated_at = now
            if search.job_id is None:
                search.lease_until = now + timedelta(seconds=LEASE_S)

    def generations(self, search_id: str) -> tuple[StoredGeneration, ...]:
        """All generations, first to last, trials by position."""
        generations = select(GenerationRow).where(GenerationRow.search_id == search_id)
        trials = select(TrialRow).where(TrialRow.search_id == search_id)
        with self._database.read() as session:
            by_number: dict[int, list[Trial]] = {}
            for row in session.scalars(trials.order_by(TrialRow.generation, TrialRow.position)):
                by_number.setdefault(row.generation, []).append(_trial(row))
            return tuple(
                StoredGeneration(
                    number=row.generation,
                    evaluations=row.evaluations,
                    trials=tuple(by_number.get(row.generation, ())),
                    notes=row.notes,
                )
                for row in session.scalars(generations.order_by(GenerationRow.generation))
            )

    def end(
        self,
        search_id: str,
        state: EndState,
        *,
        lease: Lease | None = None,
    ) -> None:
        """Ends a search; a failed or cancelled one can be opened again.

        Raises:
            NotStoredError: for an unknown search.
            LeaseLostError: if ``lease`` no longer holds.
        """
        with self._database.write() as session:
            leases.require(session, lease)
            row = session.get(SearchRow, search_id)
            if row is None:
                raise NotStoredError("search", search_id)
            _close(row, state, self._clock())


def _generation_count(session: Session, search_id: str) -> int:
    query = select(func.count()).select_from(GenerationRow).where(GenerationRow.search_id == search_id)
    return session.scalar(query) or 0


def _require_same(search_id: str, name: str, stored: object, asked: object) -> None:
    if stored != asked:
        raise StoreConflictError(
            f"search {search_id} is stored with {name} = {stored!r}, not {asked!r};"
            " resume it with the stored value, or start another search."
        )


def _without_budget(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != _BUDGET}


def _owned(owner: str) -> Select[SearchRow]:
    return select(SearchRow).where(SearchRow.owner == owner, SearchRow.state == "running", SearchRow.job_id.is_(None))


def _close(row: SearchRow, state: EndState, now: datetime) -> None:
    row.state, row.updated_at = state, now
    row.owner, row.lease_until = None, None


def _state(row: SearchRow, now: datetime) -> SearchState:
    if row.state != "running" or row.job_id is not None:
        return cast("SearchState", row.state)
    held = row.lease_until is not None and row.lease_until > now
    return "running" if held and not (row.owner is not None and owner_has_ended(row.owner)) else "interrupted"


def search_of_row(row: SearchRow, now: datetime) -> StoredSearch:
    """A search's row as a search at this moment."""
    return StoredSearch(
        id=row.id,
        job_id=row.job_id,
        profile_id=row.profile_id,
        supernet_id=row.supernet_id,
        space=row.space,
        settings=row.settings,
        state=_state(row, now),
        seed=row.seed,
        evaluations=row.evaluations,
        owner=row.owner,
        cancel_requested=row.cancel_requested,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _trial(row: TrialRow) -> Trial:
    return Trial(
        genotype=tuple(row.genotype),
        candidate_id=row.candidate_id,
        state=cast("TrialState", row.state),
        values=None if row.values is None else tuple(row.values),
        system_attrs=row.system_attrs,
    )
