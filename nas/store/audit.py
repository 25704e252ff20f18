"""The audit log: who changed what, and when. Entries are only added, never changed."""

import getpass
import socket
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from nas.store.database import Database
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
    """Who makes a change; given to what makes it, which records it in the transaction of the change."""

    actor: str
    action: str
    tenant: str | None = None
    trace_id: str | None = None


class Audit:
    """Entries by number."""

    def __init__(self, database: Database) -> None:
        self._database = database

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


def record_change(session: Session, change: Change | None, now: datetime, *, subject: str) -> None:
    """Adds an entry in the transaction that makes the change; None is a change that nobody is named for."""
    if change is not None:
        session.add(
            AuditEntryRow(
                made_at=now,
                actor=change.actor,
                tenant=change.tenant,
                action=change.action,
                subject=subject,
                trace_id=change.trace_id,
            )
        )


def local_change(action: str, tenant: str | None = None) -> Change:
    """A change by the user of a command line."""
    return Change(actor=f"{getpass.getuser()}@{socket.gethostname()}"[:200], action=action, tenant=tenant)
