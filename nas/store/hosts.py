"""Hosts: machines whose workers share one database, each with devices of its own."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from nas.store.agent_tables import AgentRow
from nas.store.database import Clock, Database
from nas.store.errors import HomeNotSharedError, HostNameTakenError
from nas.store.host_tables import HostRow

HOST_ALIVE_S: Final = 60.0
"""A host whose workers were not seen for so long may be replaced by another machine of its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host as it was last seen."""

    name: str
    """First part of its devices' ids."""
    machine: str
    """Differs between machines: :func:`hw_profiles.host.machine_id`."""
    home: str
    """Identity of its HWNAS_HOME: :attr:`nas.home.Home.identity`."""
    last_seen: datetime


class Hosts:
    """Hosts by name. None of them is ever forgotten; those that were not seen lately do not count."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def announce(self, name: str, *, machine: str, home: str) -> None:
        """Notes that a worker of this host is there; call it again within :data:`HOST_ALIVE_S`.

        Raises:
            HostNameTakenError: if an agent, or another machine that is there, has this name.
            HomeNotSharedError: if another host that is there has another HWNAS_HOME.
        """
        with self._database.write() as session:
            self._check_name(session, name, machine)
            others = self._alive(session, but=name)
            stranger = next((other for other in others if other.home != home), None)
            if stranger is not None:
                raise HomeNotSharedError(stranger.name)
            session.merge(HostRow(name=name, machine=machine, home=home, last_seen=self._clock()))

    def check(self, name: str, *, machine: str) -> None:
        """Makes sure that no one else has this host's name.

        Raises:
            HostNameTakenError: as :meth:`announce`.
        """
        with self._database.read() as session:
            self._check_name(session, name, machine)

    def alive(self) -> tuple[Host, ...]:
        """Hosts with a worker that was seen lately, by name."""
        with self._database.read() as session:
            return tuple(_host(row) for row in self._alive(session))

    def _alive(self, session: Session, *, but: str | None = None) -> list[HostRow]:
        since = self._clock() - timedelta(seconds=HOST_ALIVE_S)
        query = select(HostRow).where(HostRow.last_seen > since).order_by(HostRow.name)
        return [row for row in session.scalars(query) if row.name != but]

    def _check_name(self, session: Session, name: str, machine: str) -> None:
        if session.scalar(select(AgentRow.id).where(AgentRow.name == name)) is not None:
            raise HostNameTakenError(name, "an agent")
        row = next((row for row in self._alive(session) if row.name == name), None)
        if row is not None and row.machine != machine:
            seen_s = (self._clock() - row.last_seen).total_seconds()
            raise HostNameTakenError(name, f"another machine, which was seen {seen_s:.0f} s ago,")


def _host(row: HostRow) -> Host:
    return Host(name=row.name, machine=row.machine, home=row.home, last_seen=row.last_seen)
