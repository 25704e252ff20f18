"""Accuracies of candidates with a supernet's weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import select

from nas.store.database import Clock, Database, insert_missing
from nas.store.tables import EvaluationRow, table_of

Part = Literal["float", "val", "test"]
"""Validation and test images on the graph that ships; ``float``: validation images on the float network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The accuracy of one candidate on one part of the data."""

    supernet_id: str
    candidate_id: str
    part: Part
    accuracy: float
    """A fraction."""
    images: int
    """Images that it was counted on."""


class Evaluations:
    """Evaluations by supernet, candidate and part."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, evaluations: Sequence[Evaluation]) -> None:
        """Stores evaluations together; what is stored already stays as it is.

        Raises:
            StoreConflictError: for an accuracy outside 0 to 1, or an unknown supernet or candidate.
        """
        now = self._clock()
        rows = [
            {
                "supernet_id": e.supernet_id,
                "candidate_id": e.candidate_id,
                "part": e.part,
                "accuracy": e.accuracy,
                "images": e.images,
                "evaluated_at": now,
            }
            for e in evaluations
        ]
        with self._database.write() as session:
            insert_missing(session, table_of(EvaluationRow), rows)

    def of(self, supernet_id: str, part: Part, *, before: datetime | None = None) -> dict[str, Evaluation]:
        """All evaluations of one supernet on one part, by candidate, in a fixed order; those ``before`` a time."""
        query = (
            select(EvaluationRow)
            .where(EvaluationRow.supernet_id == supernet_id, EvaluationRow.part == part)
            .order_by(EvaluationRow.candidate_id)
        )
        if before is not None:
            query = query.where(EvaluationRow.evaluated_at < before)
        with self._database.read() as session:
            return {row.candidate_id: _stored(row) for row in session.scalars(query)}

    def of_candidate(self, candidate_id: str) -> tuple[Evaluation, ...]:
        """All evaluations of one candidate."""
        query = (
            select(EvaluationRow)
            .where(EvaluationRow.candidate_id == candidate_id)
            .order_by(EvaluationRow.supernet_id, EvaluationRow.part)
        )
        with self._database.read() as session:
            return tuple(_stored(row) for row in session.scalars(query))

    def find(self, supernet_id: str, candidate_id: str, part: Part) -> Evaluation | None:
        """One evaluation, or None."""
        with self._database.read() as session:
            row = session.get(EvaluationRow, (supernet_id, candidate_id, part))
            return None if row is None else _stored(row)


def _stored(row: EvaluationRow) -> Evaluation:
    return Evaluation(
        supernet_id=row.supernet_id,
        candidate_id=row.candidate_id,
        part=cast("Part", row.part),
        accuracy=row.accuracy,
        images=row.images,
    )
