"""Fronts: the bytes of ``hwnas.front/1`` as they are sent, and their members as rows for filtering."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from nas.metrics import Constraints, columns_or_worst, finite_metrics
from nas.store import leases
from nas.store.database import Clock, Database
from nas.store.errors import FrontDamagedError, FrontFormatError, NotStoredError
from nas.store.leases import Lease
from nas.store.pages import PageRequest, PageStart, read_page
from nas.store.tables import FrontMemberRow, FrontRow, SearchRow
from nas.store.tenancy import EVERYTHING, Viewer, visible_fronts
from search_spaces.errors import UnknownNameError, UsageError

FRONT_SCHEMA: Final = "hwnas.front/1"
_MEMBER_KEYS: Final = {
    "candidate",
    "summary",
    "precision",
    "size_bytes",
    "latency_p50_ms",
    "latency_p95_ms",
    "accuracy_val",
    "accuracy_test",
    "artifacts",
}
_FRONT_KEYS: Final = {"schema", "device", "space", "data", "seed", "evaluations", "members", "baselines"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontInfo:
    """A front without its bytes."""

    id: str
    search_id: str
    profile_id: str
    space: str
    supernet_id: str
    etag: str
    """SHA-256 of the bytes."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontMember:
    """The figures of one member that limits are compared with."""

    position: int
    """Place in the front's ``members``."""
    candidate_id: str
    measured: bool
    """Whether the latencies are measured; predicted ones stand in where nothing was measured."""
    latency_p50_ms: float
    latency_p95_ms: float
    size_bytes: int
    accuracy_val: float
    accuracy_test: float | None
    accuracy_expected: float | None = None
    """None in fronts of earlier versions; the validation reading stands in."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Further measured figures by metric name."""

    @property
    def values(self) -> dict[str, float]:
        """Values by metric name, as constraints compare them."""
        return dict(self.metrics) | {
            "accuracy": self.accuracy_val if self.accuracy_expected is None else self.accuracy_expected,
            "latency_p50_ms": self.latency_p50_ms,
            "latency_p95_ms": self.latency_p95_ms,
            "size_bytes": float(self.size_bytes),
        }


class Fronts:
    """Fronts by id and the newest of a device."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, search_id: str, body: bytes, *, lease: Lease | None = None) -> FrontInfo:
        """Stores a front's bytes and its members' rows; the same bytes again give the same front.

        Raises:
            FrontFormatError: if the bytes do not follow ``hwnas.front/1`` or contradict the search.
            NotStoredError: for an unknown search.
            StoreConflictError: for members that are no stored candidates.
            LeaseLostError: if ``lease`` no longer holds.
        """
        document = parse_front(body)
        members = members_of(document)
        etag = hashlib.sha256(body).hexdigest()
        front_id = hashlib.sha256(f"{search_id}\n{etag}".encode()).hexdigest()
        with self._database.write() as session:
            leases.require(session, lease)
            stored = session.get(FrontRow, front_id)
            if stored is not None:
                return _info(stored)
            search = session.get(SearchRow, search_id)
            if search is None:
                raise NotStoredError("search", search_id)
            if (document["device"], document["space"]) != (search.profile_id, search.space):
                raise FrontFormatError(
                    f"a front of {document['device']!r}, {document['space']!r} for search {search_id},"
                    f" which is of {search.profile_id!r}, {search.space!r}."
                )
            row = FrontRow(
                id=front_id,
                search_id=search_id,
                profile_id=search.profile_id,
                space=search.space,
                supernet_id=search.supernet_id,
                body=body,
                etag=etag,
                created_at=self._clock(),
            )
            session.add(row)
            session.flush()  # members refer to it
            session.add_all(_member_row(front_id, member) for member in members)
            return _info(row)

    def find(self, front_id: str, viewer: Viewer = EVERYTHING) -> FrontInfo | None:
        """The front, or None if there is none that the viewer may see."""
        query = select(FrontRow).options(defer(FrontRow.body)).where(FrontRow.id == front_id, *visible_fronts(viewer))
        with self._database.read() as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else _info(row)

    def page(
        self,
        page: PageRequest,
        *,
        profile_id: str | None = None,
        space: str | None = None,
        search_id: str | None = None,
        viewer: Viewer = EVERYTHING,
    ) -> tuple[tuple[FrontInfo, ...], PageStart | None]:
        """A page of fronts, newest first, and where the next one starts."""
        query = select(FrontRow).options(defer(FrontRow.body)).where(*visible_fronts(viewer))
        for column, value in (
            (FrontRow.profile_id, profile_id),
            (FrontRow.space, space),
            (FrontRow.search_id, search_id),
        ):
            if value is not None:
                query = query.where(column == value)
        with self._database.read() as session:
            rows, following = read_page(session, query, FrontRow, page)
            return tuple(_info(row) for row in rows), following

    def body(self, front_id: str) -> bytes:
        """The bytes as they were stored.

        Raises:
            NotStoredError: if there is no such front.
            FrontDamagedError: if the bytes are not those of the front's hash.
        """
        with self._database.read() as session:
            row = session.execute(select(FrontRow.body, FrontRow.etag).where(FrontRow.id == front_id)).one_or_none()
        if row is None:
            raise NotStoredError("front", front_id)
        body, etag = row
        # SQLite gives text where somebody wrote text into the column.
        content = body.encode() if isinstance(body, str) else bytes(body)
        if hashlib.sha256(content).hexdigest() != etag:
            raise FrontDamagedError(front_id)
        return content

    def latest(self, profile_id: str, *, space: str | None = None) -> FrontInfo | None:
        """The newest front of a device, in one space where given."""
        found = self._list(profile_id, space, limit=1)
        return found[0] if found else None

    def all(
        self, *, profile_id: str | None = None, space: str | None = None, viewer: Viewer = EVERYTHING
    ) -> tuple[FrontInfo, ...]:
        """Fronts that the viewer may see, newest first."""
        return self._list(profile_id, space, limit=None, viewer=viewer)

    def of_search(self, search_id: str) -> FrontInfo | None:
        """A search's newest front, or None before it has one."""
        query = select(FrontRow).options(defer(FrontRow.body)).where(FrontRow.search_id == search_id)
        with self._database.read() as session:
            row = session.scalars(query.order_by(FrontRow.created_at.desc(), FrontRow.id).limit(1)).first()
            return None if row is None else _info(row)

    def spaces(self, profile_id: str, viewer: Viewer = EVERYTHING) -> tuple[str, ...]:
        """Spaces in which a device has fronts that the viewer may see, sorted."""
        query = select(FrontRow.space).where(FrontRow.profile_id == profile_id, *visible_fronts(viewer))
        with self._database.read() as session:
            return tuple(session.scalars(query.distinct().order_by(FrontRow.space)))

    def members(self, front_id: str, constraints: Constraints | None = None) -> tuple[FrontMember, ...]:
        """Members that meet the constraints, in the front's order."""
        with self._database.read() as session:
            members = _members(session, front_id)
        if not constraints or not members:
            return members
        values = columns_or_worst([member.values for member in members], constraints.metric_names)
        return tuple(member for member, miss in zip(members, constraints.violations(values), strict=True) if miss <= 0)

    def _list(
        self, profile_id: str | None, space: str | None, *, limit: int | None, viewer: Viewer = EVERYTHING
    ) -> tuple[FrontInfo, ...]:
        query = select(FrontRow).options(defer(FrontRow.body)).where(*visible_fronts(viewer))
        query = query.order_by(FrontRow.created_at.desc(), FrontRow.id)
        if profile_id is not None:
            query = query.where(FrontRow.profile_id == profile_id)
        if space is not None:
            query = query.where(FrontRow.space == space)
        with self._database.read() as session:
            return tuple(_info(row) for row in session.scalars(query.limit(limit)))


def parse_front(body: bytes) -> dict[str, Any]:
    """Reads a front's bytes.

    Raises:
        FrontFormatError: if they are not JSON (NaN and infinity are not) or not of ``hwnas.front/1``.
    """
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
    except ValueError as error:
        raise FrontFormatError(f"a front that is not JSON: {error}.") from error
    if not isinstance(document, dict) or document.get("schema") != FRONT_SCHEMA:
        raise FrontFormatError(f"a front whose schema is not {FRONT_SCHEMA!r}.")
    if missing := sorted(_FRONT_KEYS - document.keys()):
        raise FrontFormatError(f"a front without {', '.join(missing)}.")
    return document


def members_of(document: Mapping[str, Any]) -> tuple[FrontMember, ...]:
    """The figures of a front's members.

    Raises:
        FrontFormatError: if a member lacks a key or a latency is neither measured nor predicted.
    """
    members: Sequence[Mapping[str, Any]] = document["members"]
    if not isinstance(members, list):
        raise FrontFormatError("a front whose members are not a list.")
    return tuple(_member(position, member) for position, member in enumerate(members))


def _member(position: int, member: Mapping[str, Any]) -> FrontMember:
    if missing := sorted(_MEMBER_KEYS - member.keys()):
        raise FrontFormatError(f"member {position} of the front has no {', '.join(missing)}.")
    p50, p95 = member["latency_p50_ms"], member["latency_p95_ms"]
    measured = p50.get("measured") is not None and p95.get("measured") is not None
    source = "measured" if measured else "predicted"
    figures = (p50.get(source), p95.get(source))
    expected = member.get("accuracy")
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in figures):
        raise FrontFormatError(f"member {position} of the front has latencies neither measured nor predicted.")
    return FrontMember(
        position=position,
        candidate_id=member["candidate"],
        measured=measured,
        latency_p50_ms=float(figures[0]),
        latency_p95_ms=float(figures[1]),
        size_bytes=member["size_bytes"],
        accuracy_val=member["accuracy_val"],
        accuracy_test=member["accuracy_test"],
        accuracy_expected=None if expected is None else expected.get("expected"),
        metrics=_metrics(position, member),
    )


def _metrics(position: int, member: Mapping[str, Any]) -> dict[str, float]:
    try:
        return finite_metrics(member.get("metrics") or {})
    except (UnknownNameError, UsageError) as error:
        raise FrontFormatError(f"member {position} of the front: {error}") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _members(session: Session, front_id: str) -> tuple[FrontMember, ...]:
    query = select(FrontMemberRow).where(FrontMemberRow.front_id == front_id)
    return tuple(
        FrontMember(
            position=row.position,
            candidate_id=row.candidate_id,
            measured=row.measured,
            latency_p50_ms=row.latency_p50_ms,
            latency_p95_ms=row.latency_p95_ms,
            size_bytes=row.size_bytes,
            accuracy_val=row.accuracy_val,
            accuracy_test=row.accuracy_test,
            accuracy_expected=row.accuracy_expected,
            metrics=row.metrics,
        )
        for row in session.scalars(query.order_by(FrontMemberRow.position))
    )


def _member_row(front_id: str, member: FrontMember) -> FrontMemberRow:
    return FrontMemberRow(
        front_id=front_id,
        position=member.position,
        candidate_id=member.candidate_id,
        measured=member.measured,
        latency_p50_ms=member.latency_p50_ms,
        latency_p95_ms=member.latency_p95_ms,
        size_bytes=member.size_bytes,
        accuracy_val=member.accuracy_val,
        accuracy_test=member.accuracy_test,
        accuracy_expected=member.accuracy_expected,
        metrics=dict(member.metrics),
    )


def _info(row: FrontRow) -> FrontInfo:
    return FrontInfo(
        id=row.id,
        search_id=row.search_id,
        profile_id=row.profile_id,
        space=row.space,
        supernet_id=row.supernet_id,
        etag=row.etag,
        created_at=row.created_at,
    )
