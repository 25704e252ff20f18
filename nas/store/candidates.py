"""Candidates: genotypes with their identity."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from nas.store.database import Clock, Database, insert_missing
from nas.store.errors import NotStoredError
from nas.store.pages import PageRequest, PageStart, read_page
from nas.store.schema import table_of
from nas.store.tables import CandidateRow
from nas.store.tenancy import EVERYTHING, Viewer, visible_candidates
from search_spaces.space import Candidate, IntArray, SearchSpace

_CHUNK = 500
"""Ids a query: below every database's limit of parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCandidate:
    """A candidate and its genotype in its space."""

    id: str
    canonical: str
    """The space's canonical string."""
    genotype: tuple[int, ...]
    candidate: Candidate
    created_at: datetime


class Candidates:
    """Candidates by id."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, space: SearchSpace, genotypes: IntArray) -> tuple[str, ...]:
        """Stores a population, shape ``(n, genes)``, canonicalized; gives its ids in order.

        Raises:
            InvalidGenotypeError: if the space does not contain a genotype.
        """
        now = self._clock()
        rows = []
        for genotype in space.canonicalize(space.validate(genotypes)):
            candidate = space.candidate(genotype)
            rows.append(
                {
                    "id": candidate.id,
                    "space": space.name,
                    "canonical": space.to_string(genotype),
                    "genotype": genotype.tolist(),
                    "candidate": candidate.as_json(),
                    "created_at": now,
                }
            )
        with self._database.write() as session:
            insert_missing(session, table_of(CandidateRow), rows)
        return tuple(row["id"] for row in rows)

    def find(self, candidate_id: str, viewer: Viewer = EVERYTHING) -> StoredCandidate | None:
        """The candidate, or None if there is none that the viewer may see."""
        query = select(CandidateRow).where(CandidateRow.id == candidate_id, *visible_candidates(viewer))
        with self._database.read() as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else _stored(row)

    def page(
        self, page: PageRequest, *, space: str | None = None, viewer: Viewer = EVERYTHING
    ) -> tuple[tuple[StoredCandidate, ...], PageStart | None]:
        """A page of candidates, newest first, and where the next one starts."""
        query = select(CandidateRow).where(*visible_candidates(viewer))
        if space is not None:
            query = query.where(CandidateRow.space == space)
        with self._database.read() as session:
            rows, following = read_page(session, query, CandidateRow, page)
            return tuple(_stored(row) for row in rows), following

    def beginning_with(self, start: str) -> tuple[StoredCandidate, ...]:
        """Two at most of the candidates whose id begins with these hexadecimal digits."""
        query = select(CandidateRow).where(CandidateRow.id.startswith(start, autoescape=True)).limit(2)
        with self._database.read() as session:
            return tuple(_stored(row) for row in session.scalars(query))

    def get(self, candidate_id: str) -> StoredCandidate:
        """The candidate.

        Raises:
            NotStoredError: if there is none with this id.
        """
        found = self.find(candidate_id)
        if found is None:
            raise NotStoredError("candidate", candidate_id)
        return found

    def get_many(self, candidate_ids: Sequence[str]) -> tuple[StoredCandidate, ...]:
        """The candidates in the order asked; errors as :meth:`get`."""
        found: dict[str, StoredCandidate] = {}
        with self._database.read() as session:
            for start in range(0, len(candidate_ids), _CHUNK):
                query = select(CandidateRow).where(CandidateRow.id.in_(candidate_ids[start : start + _CHUNK]))
                found |= {row.id: _stored(row) for row in session.scalars(query)}
        for candidate_id in candidate_ids:
            if candidate_id not in found:
                raise NotStoredError("candidate", candidate_id)
        return tuple(found[candidate_id] for candidate_id in candidate_ids)


def _stored(row: CandidateRow) -> StoredCandidate:
    fields: dict[str, Any] = row.candidate
    return StoredCandidate(
        id=row.id,
        canonical=row.canonical,
        genotype=tuple(row.genotype),
        candidate=Candidate(**fields),
        created_at=row.created_at,
    )
