"""Agents: their names, keys, and what each reported at registration."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from hw_profiles.agent.tasks import AgentDescription
from hw_profiles.agent.tokens import AgentToken, key_sha256
from hw_profiles.host import LOCAL_DEVICE
from nas.store.agent_tables import AgentRow, AgentTaskRow
from nas.store.audit import Change, record_change
from nas.store.database import Clock, Database
from nas.store.errors import (
    AgentBusyError,
    AgentSupersededError,
    NotStoredError,
    StoreConflictError,
    UnknownAgentError,
)
from nas.store.tables import DeviceProfileRow
from search_spaces.errors import UsageError

ALIVE_S: Final = 30.0
"""An agent that was seen within this time is taken to be there."""
_SEEN_EVERY_S: Final = 5.0
"""Its time is not written more often."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAgent:
    """The current state of an agent."""

    id: str
    name: str
    """First part of its devices' ids."""
    signing_key: str
    session: int
    """Grows with every registration."""
    about: Mapping[str, Any] | None
    """:class:`AgentDescription` as JSON; None before it registers."""
    created_at: datetime
    last_seen: datetime | None
    """By this service's clock."""
    revoked_at: datetime | None

    def __repr__(self) -> str:
        return f"StoredAgent({self.name!r})"


class Agents:
    """Agents by name and by key."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(self, name: str, *, change: Change | None = None) -> AgentToken:
        """A new agent's token, which is kept nowhere.

        Raises:
            UsageError: for a name that cannot be part of a device's id, or that devices have already.
            StoreConflictError: if there is an agent of this name.
        """
        if not _NAME.fullmatch(name) or name == LOCAL_DEVICE:
            raise UsageError(
                f"{name!r} cannot be an agent's name: give up to 64 letters, digits, '.', '_' and '-', not"
                f" {LOCAL_DEVICE!r}."
            )
        token = AgentToken.new()
        with self._database.write() as session:
            if _row(session, name) is not None:
                raise StoreConflictError(f"agent {name!r} already exists; choose another name, or revoke it.")
            if session.scalar(select(DeviceProfileRow.id).where(DeviceProfileRow.id.startswith(f"{name}/"))):
                raise UsageError(f"devices whose ids begin with {name}/ already exist; choose another name.")
            session.add(
                AgentRow(
                    id=uuid.uuid4().hex,
                    name=name,
                    key_sha256=key_sha256(token.authentication_key),
                    signing_key=token.signing_key,
                    session=0,
                    created_at=self._clock(),
                )
            )
            record_change(session, change, self._clock(), subject=name)
        return token

    def revoke(self, name: str, *, change: Change | None = None) -> None:
        """Ends an agent's access at once; its devices and measurements stay. Twice is harmless.

        Raises:
            NotStoredError: if there is none of this name.
        """
        with self._database.write() as session:
            row = _row(session, name)
            if row is None:
                raise NotStoredError("agent", name)
            row.revoked_at = row.revoked_at or self._clock()
            row.session += 1
            _give_up_tasks(session, row.id)
            record_change(session, change, self._clock(), subject=name)

    def all(self) -> tuple[StoredAgent, ...]:
        """Every agent, by name."""
        with self._database.read() as session:
            return tuple(_stored(row) for row in session.scalars(select(AgentRow).order_by(AgentRow.name)))

    def find(self, name: str) -> StoredAgent | None:
        """The agent of this name, revoked or not; None if there is none."""
        with self._database.read() as session:
            row = _row(session, name)
            return None if row is None else _stored(row)

    def authenticated(self, key: str) -> StoredAgent:
        """The agent that has this authentication key; its time is noted.

        Raises:
            UnknownAgentError: if none has it, or it was revoked.
        """
        query = select(AgentRow).where(AgentRow.key_sha256 == key_sha256(key), AgentRow.revoked_at.is_(None))
        with self._database.read() as session:
            row = session.scalars(query).one_or_none()
            if row is None:
                raise UnknownAgentError
            agent = _stored(row)
        now = self._clock()
        if agent.last_seen is not None and (now - agent.last_seen).total_seconds() >= _SEEN_EVERY_S:
            with self._database.write() as session:
                session.execute(update(AgentRow).where(AgentRow.id == agent.id).values(last_seen=now))
        return agent

    def register(self, agent: StoredAgent, about: AgentDescription) -> int:
        """Notes what an agent says of itself; gives the session that it claims with.

        A task that an earlier process of the agent held goes back to the queue.

        Raises:
            AgentBusyError: if another installation was seen a moment ago.
            UnknownAgentError: if it was revoked meanwhile.
        """
        now = self._clock()
        with self._database.write() as session:
            row = session.get(AgentRow, agent.id, with_for_update=True)
            if row is None or row.revoked_at is not None:
                raise UnknownAgentError
            seen_s = ALIVE_S if row.last_seen is None else (now - row.last_seen).total_seconds()
            if row.installation not in (None, about.installation) and seen_s < ALIVE_S:
                raise AgentBusyError(row.name, seen_s)
            row.installation, row.about = about.installation, about.as_json()
            row.registered_at = row.last_seen = now
            row.session += 1
            _give_up_tasks(session, row.id)
            return row.session


def held_agent(session: Session, agent_id: str, number: int) -> AgentRow:
    """The agent's row, locked until the transaction ends.

    Raises:
        UnknownAgentError: if it was revoked.
        AgentSupersededError: if ``number`` is not its newest session.
    """
    row = session.get(AgentRow, agent_id, with_for_update=True)
    if row is None or row.revoked_at is not None:
        raise UnknownAgentError
    if row.session != number:
        raise AgentSupersededError(row.name)
    return row


def _give_up_tasks(session: Session, agent_id: str) -> None:
    """Nobody works on what an earlier process of the agent held."""
    held = (AgentTaskRow.agent_id == agent_id) & (AgentTaskRow.state == "running")
    session.execute(update(AgentTaskRow).where(held).values(state="queued", lease_until=None, ends_by=None))


def _row(session: Session, name: str) -> AgentRow | None:
    return session.scalars(select(AgentRow).where(AgentRow.name == name)).one_or_none()


def _stored(row: AgentRow) -> StoredAgent:
    return StoredAgent(
        id=row.id,
        name=row.name,
        signing_key=row.signing_key,
        session=row.session,
        about=row.about,
        created_at=row.created_at,
        last_seen=row.last_seen,
        revoked_at=row.revoked_at,
    )
