"""Searches and their generations: what a killed search goes on from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from nas.store import leases
from nas.store.database import Clock, Database, insert_missing
from nas.store.errors import NotStoredError, StoreConflictError
from nas.store.leases import Lease
from nas.store.tables import GenerationRow, SearchRow, TrialRow, table_of

SearchState = Literal["running", "succeeded", "failed", "cancelled"]
TrialState = Literal["complete", "failed"]


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
class Generation:
    """One generation as it was written, whole."""

    number: int
    """From 0, without gaps."""
    evaluations: int
    """Real evaluations that it cost."""
    trials: tuple[Trial, ...]
    notes: Mapping[str, Any]
    """What the search wants to say about it, such as the predictors' revisions and the hypervolume."""


class Searches:
    """Searches by id."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def open(
        self,
        *,
        search_id: str,
        profile_id: str,
        supernet_id: str,
        space: str,
        settings: Mapping[str, Any],
        seed: int,
        job_id: str | None = None,
        lease: Lease | None = None,
    ) -> StoredSearch:
        """Makes a search, or gives the one of this id to go on with (running again).

        Raises:
            StoreConflictError: where the stored search has other settings, seed, profile, space or supernet.
            LeaseLostError: where ``lease`` no longer holds.
        """
        now = self._clock()
        row = {
            "id": search_id,
            "job_id": job_id,
            "profile_id": profile_id,
            "supernet_id": supernet_id,
            "space": space,
            "settings": dict(settings),
            "seed": seed,
            "state": "running",
            "evaluations": 0,
            "created_at": now,
            "updated_at": now,
        }
        with self._database.write() as session:
            leases.require(session, lease)
            insert_missing(session, table_of(SearchRow), [row])
            stored = session.get_one(SearchRow, search_id)
            for name in ("job_id", "profile_id", "supernet_id", "space", "settings", "seed"):
                if getattr(stored, name) != row[name]:
                    raise StoreConflictError(
                        f"search {search_id} is stored with {name} = {getattr(stored, name)!r},"
                        f" asked is {row[name]!r}; go on with the stored one or start another search."
                    )
            if stored.state != "succeeded":
                stored.state = "running"
            return _stored(stored)

    def find(self, search_id: str) -> StoredSearch | None:
        """The search, or None."""
        with self._database.read() as session:
            row = session.get(SearchRow, search_id)
            return None if row is None else _stored(row)

    def get(self, search_id: str) -> StoredSearch:
        """The search.

        Raises:
            NotStoredError: where there is none of this id.
        """
        found = self.find(search_id)
        if found is None:
            raise NotStoredError("search", search_id)
        return found

    def of_job(self, job_id: str) -> StoredSearch | None:
        """The search that a job runs, or None before it started."""
        with self._database.read() as session:
            row = session.scalars(select(SearchRow).where(SearchRow.job_id == job_id)).one_or_none()
            return None if row is None else _stored(row)

    def all(self, *, profile_id: str | None = None) -> tuple[StoredSearch, ...]:
        """Searches, newest first."""
        query = select(SearchRow).order_by(SearchRow.created_at.desc(), SearchRow.id)
        if profile_id is not None:
            query = query.where(SearchRow.profile_id == profile_id)
        with self._database.read() as session:
            return tuple(_stored(row) for row in session.scalars(query))

    def append_generation(self, search_id: str, generation: Generation, *, lease: Lease | None = None) -> None:
        """Writes a generation and the search's count of evaluations in one transaction.

        Raises:
            NotStoredError: for an unknown search.
            StoreConflictError: where the generation is not the next one: another process was first.
            LeaseLostError: where ``lease`` no longer holds.
        """
        now = self._clock()
        with self._database.write() as session:
            leases.require(session, lease)
            search = session.get(SearchRow, search_id, with_for_update=True)
            if search is None:
                raise NotStoredError("search", search_id)
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

    def generations(self, search_id: str) -> tuple[Generation, ...]:
        """All generations, first to last, trials by position."""
        generations = select(GenerationRow).where(GenerationRow.search_id == search_id)
        trials = select(TrialRow).where(TrialRow.search_id == search_id)
        with self._database.read() as session:
            by_number: dict[int, list[Trial]] = {}
            for row in session.scalars(trials.order_by(TrialRow.generation, TrialRow.position)):
                by_number.setdefault(row.generation, []).append(_trial(row))
            return tuple(
                Generation(
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
        state: Literal["succeeded", "failed", "cancelled"],
        *,
        lease: Lease | None = None,
    ) -> None:
        """Ends a search; a failed or cancelled one can be opened again.

        Raises:
            NotStoredError: for an unknown search.
            LeaseLostError: where ``lease`` no longer holds.
        """
        with self._database.write() as session:
            leases.require(session, lease)
            row = session.get(SearchRow, search_id)
            if row is None:
                raise NotStoredError("search", search_id)
            row.state = state
            row.updated_at = self._clock()


def _generation_count(session: Session, search_id: str) -> int:
    query = select(func.count()).select_from(GenerationRow).where(GenerationRow.search_id == search_id)
    return session.scalar(query) or 0


def _stored(row: SearchRow) -> StoredSearch:
    return StoredSearch(
        id=row.id,
        job_id=row.job_id,
        profile_id=row.profile_id,
        supernet_id=row.supernet_id,
        space=row.space,
        settings=row.settings,
        state=cast("SearchState", row.state),
        seed=row.seed,
        evaluations=row.evaluations,
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
