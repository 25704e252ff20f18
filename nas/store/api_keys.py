"""API keys, their scopes and tenants. Only the hash of a secret is stored."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, cast, get_args

from sqlalchemy import func, select

from nas.store.audit import Change, record_change
from nas.store.database import Clock, Database
from nas.store.errors import NotStoredError
from nas.store.service_tables import ApiKeyRow

Scope = Literal["read", "submit", "calibrate", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
MAX_PRIORITY: Final = 100
"""Jobs have priorities from minus this to this; 0 if none is given."""
KEY_PREFIX: Final = "hwnas_"
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyQuota:
    """Limits on the jobs and uploads of a key; None for no limit."""

    max_queued: int | None = None
    """Jobs that wait at once, unfinished uploads of data sets included."""
    max_measurements_per_day: int | None = None
    """Networks measured in any 24 hours, those that its unfinished jobs may still measure included."""
    max_priority: int = 0
    """The highest priority that its jobs may have."""


UNLIMITED: Final = KeyQuota()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret."""

    id: str
    """Public; a part of the key that clients send."""
    name: str
    tenant: str
    """Keys of one tenant see the same objects."""
    scopes: frozenset[Scope]
    """``read`` to look, ``submit`` for searches, ``calibrate`` for calibrations, ``admin`` for all of every tenant."""
    quota: KeyQuota
    created_at: datetime
    revoked_at: datetime | None


class ApiKeys:
    """Keys by id and by secret."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(
        self,
        *,
        name: str,
        tenant: str,
        scopes: frozenset[Scope],
        quota: KeyQuota = UNLIMITED,
        change: Change | None = None,
    ) -> tuple[ApiKey, str]:
        """Makes a key; returns it and the text that clients send, which cannot be read again."""
        key_id = secrets.token_hex(6)
        text = f"{KEY_PREFIX}{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        row = ApiKeyRow(
            id=key_id,
            name=name,
            tenant=tenant,
            scopes=" ".join(scope for scope in SCOPES if scope in scopes),
            max_queued=quota.max_queued,
            max_measurements_per_day=quota.max_measurements_per_day,
            max_priority=quota.max_priority,
            secret_sha256=_hash(text),
            created_at=self._clock(),
        )
        with self._database.write() as session:
            session.add(row)
            record_change(session, change, row.created_at, subject=row.id)
            session.flush()
            return _key(row), text

    def find_active(self, text: str) -> ApiKey | None:
        """The key that a client sent, or None if there is no such key or it was revoked."""
        # The secret has 256 random bits, so that one round of SHA-256 is enough, and a look-up by hash leaks nothing.
        query = select(ApiKeyRow).where(ApiKeyRow.secret_sha256 == _hash(text), ApiKeyRow.revoked_at.is_(None))
        with self._database.read() as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else _key(row)

    def all(self) -> tuple[ApiKey, ...]:
        """Every key, revoked ones too, oldest first."""
        with self._database.read() as session:
            query = select(ApiKeyRow).order_by(ApiKeyRow.created_at, ApiKeyRow.id)
            return tuple(_key(row) for row in session.scalars(query))

    def count_active(self) -> int:
        """How many keys are not revoked."""
        query = select(func.count()).select_from(ApiKeyRow).where(ApiKeyRow.revoked_at.is_(None))
        with self._database.read() as session:
            return session.scalar(query) or 0

    def revoke(self, key_id: str, *, change: Change | None = None) -> ApiKey:
        """Makes a key useless; revoking it again changes nothing.

        Raises:
            NotStoredError: if there is none with this id.
        """
        with self._database.write() as session:
            row = session.get(ApiKeyRow, key_id, with_for_update=True)
            if row is None:
                raise NotStoredError("API key", key_id)
            row.revoked_at = row.revoked_at or self._clock()
            record_change(session, change, self._clock(), subject=key_id)
            return _key(row)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _key(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        tenant=row.tenant,
        scopes=frozenset(cast("list[Scope]", row.scopes.split())),
        quota=KeyQuota(
            max_queued=row.max_queued,
            max_measurements_per_day=row.max_measurements_per_day,
            max_priority=row.max_priority,
        ),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
