"""The audit log: who changed what, and when. Entries are only added, never changed."""

import getpass
import socket
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from nas.store.database import Clock, Database
from nas.store.service_tables import AuditEntryRow


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change."""

    number: int
    """From 1, in the order of the changes."""
    made_at: datetime
    actor: str
    """``key ID``, ``local`` for a request without a key, or ``USER@HOST`` of a command line."""
    tenant: str | None
    """That of the actor's key."""
    action: str
    """Such as ``POST /v1/searches`` or ``create key``."""
    subject: str
    """Address or id of what was made, changed or deleted."""
    trace_id: str | None
    """Of the request's trace (W3C Trace Context)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change to record."""

    actor: str
    action: str
    subject: str
    tenant: str | None = None
    trace_id: str | None = None


class Audit:
    """Entries by number."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def record(self, change: Change) -> None:
        """Adds an entry."""
        row = AuditEntryRow(
            made_at=self._clock(),
            actor=change.actor,
            tenant=change.tenant,
            action=change.action,
            subject=change.subject,
            trace_id=change.trace_id,
        )
        with self._database.write() as session:
            session.add(row)

    def last(self, count: int, *, since: datetime | None = None) -> tuple[AuditEntry, ...]:
        """The newest entries, newest first, made at ``since`` or later."""
        query = select(AuditEntryRow).order_by(AuditEntryRow.number.desc()).limit(count)
        if since is not None:
            query = query.where(AuditEntryRow.made_at >= since)
        with self._database.read() as session:
            return tuple(
                AuditEntry(
                    number=row.number,
                    made_at=row.made_at,
                    actor=row.actor,
                    tenant=row.tenant,
                    action=row.action,
                    subject=row.subject,
                    trace_id=row.trace_id,
                )
                for row in session.scalars(query)
            )


def local_actor() -> str:
    """The user of a command line, as ``USER@HOST``."""
    return f"{getpass.getuser()}@{socket.gethostname()}"[:200]
