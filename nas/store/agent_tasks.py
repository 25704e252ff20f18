"""Tasks of agents: rows with state, lease and fencing token, like jobs.

The requester, a command or a worker that measures on an agent's device, adds a task and polls it;
the service gives it to the agent. Only this service's clock counts. A task ends once: each time
that it is given out its fence grows, and a report under an older fence is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, cast

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from hw_profiles.agent.tasks import AgentTask, Fault, Outcome, outcome_as_json, outcome_from_json
from hw_profiles.bench import BenchFailure
from nas.store.agent_tables import AgentTaskRow
from nas.store.agents import StoredAgent, held_agent
from nas.store.database import Clock, Database
from nas.store.errors import NotStoredError, TaskLostError

LEASE_S: Final = 30.0
"""An agent that is silent for so long has lost its task."""
WANTED_S: Final = 60.0
"""A requester that is silent for so long is gone, and its task is not given out."""
MOST_ATTEMPTS: Final = 3
"""Times that a task is given out before its network is taken to be what ends the agent."""
_KEPT_S: Final = 86_400.0

TaskState = Literal["queued", "running", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """A task as its requester sees it."""

    number: int
    state: TaskState
    fence: int
    """Times that it was given out."""
    outcome: Outcome | None
    """Of an ended task."""


class AgentTasks:
    """Tasks of one store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, task: AgentTask, paths: Mapping[str, Path]) -> int:
        """Queues a task; gives its number.

        Args:
            task: its ``number`` and ``fence`` are not looked at.
            paths: where the files of the task lie, by SHA-256.
        """
        now = self._clock()
        row = AgentTaskRow(
            agent_id=task.agent,
            kind=task.kind,
            profile_id=task.profile.id,
            fingerprint=task.profile.fingerprint,
            task=json.loads(task.to_bytes()),
            paths={sha256: str(path) for sha256, path in paths.items()},
            state="queued",
            fence=0,
            attempts=0,
            wanted_until=now + timedelta(seconds=WANTED_S),
            created_at=now,
        )
        with self._database.write() as session:
            session.add(row)
            session.flush()
            return row.number

    def poll(self, number: int) -> TaskStatus:
        """The task as it is now, by its requester, who thereby still wants it.

        A task whose agent lost its lease goes back to the queue.

        Raises:
            NotStoredError: if there is none with this number.
        """
        now = self._clock()
        with self._database.read() as session:
            row = session.get(AgentTaskRow, number)
            if row is None:
                raise NotStoredError("agent task", str(number))
            expired = row.state == "running" and row.lease_until is not None and row.lease_until <= now
            stale = row.wanted_until - now < timedelta(seconds=WANTED_S / 2)
            if row.state == "ended" or not (expired or stale):
                return _status(row)
        with self._database.write() as session:
            row = session.get(AgentTaskRow, number, with_for_update=True)
            if row is None:
                raise NotStoredError("agent task", str(number))
            row.wanted_until = now + timedelta(seconds=WANTED_S)
            if row.state == "running" and row.lease_until is not None and row.lease_until <= now:
                _give_up(row)
            return _status(row)

    def discard(self, number: int) -> None:
        """Removes an ended task whose outcome is of no more use; its samples are kept with the measurement."""
        old = self._clock() - timedelta(seconds=_KEPT_S)
        with self._database.write() as session:
            session.execute(delete(AgentTaskRow).where(AgentTaskRow.number == number, AgentTaskRow.state == "ended"))
            # What requesters that were killed left behind.
            session.execute(
                delete(AgentTaskRow).where(AgentTaskRow.state != "running", AgentTaskRow.wanted_until < old)
            )

    def withdraw(self, number: int) -> None:
        """Ends a task that nobody waits for any more; an agent at work on it is told at its next heartbeat."""
        with self._database.write() as session:
            row = session.get(AgentTaskRow, number, with_for_update=True)
            if row is not None and row.state != "ended":
                self._end(row, Fault(code="agent-lost", message="the task was withdrawn."), self._clock())

    def is_waiting(self, agent_id: str) -> bool:
        """Whether a task waits for an agent; a look that changes nothing."""
        query = select(AgentTaskRow.number).where(
            AgentTaskRow.agent_id == agent_id,
            AgentTaskRow.state == "queued",
            AgentTaskRow.wanted_until > self._clock(),
        )
        with self._database.read() as session:
            return session.scalars(query.limit(1)).first() is not None

    def claim(self, agent: StoredAgent, number: int, fingerprints: Mapping[str, str]) -> AgentTask | None:
        """The oldest task that waits for an agent, now under its lease; None if there is none.

        What the agent held before goes back to the queue: it does one thing at a time. A task for a device that
        is not what it was (by ``fingerprints``, of profile ids) ends without an outcome.

        Args:
            agent: who asks.
            number: its session.
            fingerprints: of its devices as they are now.

        Raises:
            UnknownAgentError: if it was revoked.
            AgentSupersededError: if it registered anew since.
        """
        with self._database.write() as session:
            held_agent(session, agent.id, number)
            now = self._clock()
            running = select(AgentTaskRow).where(AgentTaskRow.agent_id == agent.id, AgentTaskRow.state == "running")
            for row in session.scalars(running):
                _give_up(row)
            session.flush()
            waiting = (
                select(AgentTaskRow)
                .where(
                    AgentTaskRow.agent_id == agent.id, AgentTaskRow.state == "queued", AgentTaskRow.wanted_until > now
                )
                .order_by(AgentTaskRow.number)
            )
            for row in session.scalars(waiting):
                if fingerprints.get(row.profile_id) != row.fingerprint:
                    self._end(row, _device_changed(row, fingerprints), now)
                elif row.attempts >= MOST_ATTEMPTS:
                    message = f"the agent died or hung {row.attempts} times while it worked on this network."
                    self._end(row, BenchFailure(stage="crash", message=message), now)
                else:
                    return self._given_out(row, now)
            return None

    def extend(self, agent: StoredAgent, number: int, fence: int) -> None:
        """Moves the lease's end, but not beyond the time that the task may take at most.

        Raises:
            TaskLostError: if the agent no longer holds the task under this fence, or has taken too long.
        """
        now = self._clock()
        with self._database.write() as session:
            row = _held(session, agent, number, fence)
            if row.ends_by is None or now >= row.ends_by or row.wanted_until <= now:
                _give_up(row)
                lost = True
            else:
                row.lease_until = min(now + timedelta(seconds=LEASE_S), row.ends_by)
                lost = False
        if lost:
            raise TaskLostError(number, fence)

    def report(self, agent: StoredAgent, number: int, fence: int, outcome: Outcome) -> None:
        """Ends a task. A lease that has run out still counts while nobody else got the task.

        Raises:
            TaskLostError: if the agent no longer holds the task under this fence.
        """
        with self._database.write() as session:
            row = _held(session, agent, number, fence)
            self._end(row, outcome, self._clock())

    def held(self, agent: StoredAgent, number: int, fence: int) -> None:
        """Checks that an agent holds a task.

        Raises:
            TaskLostError: if it does not.
        """
        with self._database.read() as session:
            _held(session, agent, number, fence, lock=False)

    def file_of_running(self, agent: StoredAgent, sha256: str) -> Path | None:
        """Where a file of the agent's task at hand lies; None if the task has no such file."""
        query = select(AgentTaskRow).where(AgentTaskRow.agent_id == agent.id, AgentTaskRow.state == "running")
        with self._database.read() as session:
            row = session.scalars(query).one_or_none()
            path = None if row is None else row.paths.get(sha256)
            return None if path is None else Path(path)

    def _given_out(self, row: AgentTaskRow, now: datetime) -> AgentTask:
        row.state = "running"
        row.fence += 1
        row.attempts += 1
        row.started_at = row.started_at or now
        task = AgentTask.from_bytes(json.dumps(row.task).encode())
        row.ends_by = now + timedelta(seconds=task.settings.longest_task_s)
        row.lease_until = min(now + timedelta(seconds=LEASE_S), row.ends_by)
        return replace(task, number=row.number, fence=row.fence, lease_s=LEASE_S)

    def _end(self, row: AgentTaskRow, outcome: Outcome, now: datetime) -> None:
        row.state, row.lease_until, row.ends_by, row.finished_at = "ended", None, None, now
        row.outcome = outcome_as_json(outcome)


def _give_up(row: AgentTaskRow) -> None:
    """The agent lost the task, which can be given out again."""
    row.state, row.lease_until, row.ends_by = "queued", None, None


def _held(session: Session, agent: StoredAgent, number: int, fence: int, *, lock: bool = True) -> AgentTaskRow:
    query = select(AgentTaskRow).where(
        AgentTaskRow.number == number,
        AgentTaskRow.agent_id == agent.id,
        AgentTaskRow.fence == fence,
        AgentTaskRow.state == "running",
    )
    row = session.scalars(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise TaskLostError(number, fence)
    return row


def _device_changed(row: AgentTaskRow, fingerprints: Mapping[str, str]) -> Fault:
    what = "is no longer offered by its agent" if row.profile_id not in fingerprints else "has changed"
    return Fault(
        code="device-changed",
        message=(
            f"{row.profile_id} {what} (its processor, runtime or version) since this work began; run it again: new"
            " measurements are kept apart from the earlier ones."
        ),
    )


def _status(row: AgentTaskRow) -> TaskStatus:
    return TaskStatus(
        number=row.number,
        state=cast("TaskState", row.state),
        fence=row.fence,
        outcome=None if row.outcome is None else outcome_from_json(row.outcome),
    )
