"""Accuracies of candidates with a supernet's weights.

An accuracy depends on the weights (the supernet, which is of one data set), on the images,
and on the software that ran the network: rows of another version are kept and not mixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Final, Literal, cast

from sqlalchemy import select

from nas.store.database import Clock, Database, insert_missing
from nas.store.schema import table_of
from nas.store.tables import EvaluationRow

Part = Literal["float", "val"]
"""Validation images on the graph that ships; ``float``: on the float network."""

_RECIPES: Final[Mapping[Part, tuple[str, int]]] = {
    "float": ("torch", 1),
    "val": ("onnxruntime", 1),
}
"""What counts each part; the number is raised when a change of ours changes what is counted."""


def installed_version(part: Part) -> str:
    """The version of the software that counts accuracies on a part of the data here."""
    package, recipe = _RECIPES[part]
    return f"{package} {version(package)}+recipe{recipe}"


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
    runtime_version: str = ""
    """The software that it was counted with; the installed version if none is given."""

    def __post_init__(self) -> None:
        if not self.runtime_version:
            object.__setattr__(self, "runtime_version", installed_version(self.part))


class Evaluations:
    """Evaluations by supernet, candidate, part and version."""

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
                "runtime_version": e.runtime_version,
                "accuracy": e.accuracy,
                "images": e.images,
                "evaluated_at": now,
            }
            for e in evaluations
        ]
        with self._database.write() as session:
            insert_missing(session, table_of(EvaluationRow), rows)

    def of(self, supernet_id: str, part: Part, *, before: datetime | None = None) -> dict[str, Evaluation]:
        """Evaluations of one supernet on one part by the installed version, by candidate, in a fixed order.

        With ``before``, only those stored before that time.
        """
        query = (
            select(EvaluationRow)
            .where(
                EvaluationRow.supernet_id == supernet_id,
                EvaluationRow.part == part,
                EvaluationRow.runtime_version == installed_version(part),
            )
            .order_by(EvaluationRow.candidate_id)
        )
        if before is not None:
            query = query.where(EvaluationRow.evaluated_at < before)
        with self._database.read() as session:
            return {row.candidate_id: _stored(row) for row in session.scalars(query)}

    def of_candidate(self, candidate_id: str) -> tuple[Evaluation, ...]:
        """Evaluations of one candidate by the installed versions."""
        query = (
            select(EvaluationRow)
            .where(EvaluationRow.candidate_id == candidate_id, EvaluationRow.part.in_(_RECIPES))
            .order_by(EvaluationRow.supernet_id, EvaluationRow.part)
        )
        with self._database.read() as session:
            found = [_stored(row) for row in session.scalars(query)]
        return tuple(one for one in found if one.runtime_version == installed_version(one.part))

    def find(self, supernet_id: str, candidate_id: str, part: Part) -> Evaluation | None:
        """One evaluation by the installed version, or None."""
        with self._database.read() as session:
            row = session.get(EvaluationRow, (supernet_id, candidate_id, part, installed_version(part)))
            return None if row is None else _stored(row)


def _stored(row: EvaluationRow) -> Evaluation:
    return Evaluation(
        supernet_id=row.supernet_id,
        candidate_id=row.candidate_id,
        part=cast("Part", row.part),
        accuracy=row.accuracy,
        images=row.images,
        runtime_version=row.runtime_version,
    )
