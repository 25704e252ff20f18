"""Pages of rows, newest first (keyset pagination)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, tuple_
from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True)
class PageStart:
    """The last entry of the page before."""

    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which page to read."""

    size: int
    after: PageStart | None = None
    """None for the first page."""


def after(table: Any, start: PageStart | None) -> tuple[ColumnElement[bool], ...]:  # noqa: ANN401 - any row class
    """The condition for rows that follow ``start``; ``table`` has ``created_at`` and ``id``."""
    if start is None:
        return ()
    return (tuple_(table.created_at, table.id) < tuple_(start.created_at, start.id),)


def read_page(
    session: Session,
    query: Select[Any],
    table: Any,  # noqa: ANN401 - any row class with created_at and id
    page: PageRequest,
) -> tuple[list[Any], PageStart | None]:
    """The page's rows, and where the next page starts; None on the last page."""
    query = query.where(*after(table, page.after)).order_by(table.created_at.desc(), table.id.desc())
    rows = session.scalars(query.limit(page.size + 1)).all()
    return list(rows[: page.size]), following(rows, page.size)


def following(rows: Sequence[Any], size: int) -> PageStart | None:
    """Where the page after the first ``size`` rows starts; None if there are no more rows."""
    return PageStart(rows[size - 1].created_at, rows[size - 1].id) if len(rows) > size else None
