"""Tables of agents and their tasks."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from nas.store.schema import Base, Big, Json, Name, Number, Sha256


class AgentRow(Base):
    """An agent, whose name is the first part of its devices' ids; the token itself is kept nowhere."""

    __tablename__ = "agents"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[Name] = mapped_column(unique=True)
    key_sha256: Mapped[Sha256] = mapped_column(unique=True)
    signing_key: Mapped[str] = mapped_column(String(64))
    session: Mapped[Big]
    installation: Mapped[str | None] = mapped_column(String(64))
    about: Mapped[Json | None]
    created_at: Mapped[datetime]
    registered_at: Mapped[datetime | None]
    last_seen: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("length(key_sha256) = 64 AND length(signing_key) = 64", name="keys"),
        CheckConstraint("session >= 0", name="session"),
    )


class AgentTaskRow(Base):
    """One thing that an agent is asked to do, with its lease and fence; an agent has one at a time."""

    __tablename__ = "agent_tasks"

    number: Mapped[Number]
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"))
    kind: Mapped[str] = mapped_column(String(16))
    profile_id: Mapped[Name] = mapped_column(ForeignKey("device_profiles.id"))
    fingerprint: Mapped[Sha256]
    task: Mapped[Json]
    paths: Mapped[Json]
    state: Mapped[str] = mapped_column(String(16))
    fence: Mapped[Big]
    attempts: Mapped[int]
    lease_until: Mapped[datetime | None]
    ends_by: Mapped[datetime | None]
    wanted_until: Mapped[datetime]
    outcome: Mapped[Json | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("kind IN ('compile', 'check', 'time', 'classify')", name="kind"),
        CheckConstraint("state IN ('queued', 'running', 'ended')", name="state"),
        CheckConstraint(
            "(state = 'running') = (lease_until IS NOT NULL) AND (state = 'running') = (ends_by IS NOT NULL)",
            name="running_is_leased",
        ),
        CheckConstraint("(state = 'ended') = (finished_at IS NOT NULL)", name="ended_has_time"),
        CheckConstraint("fence >= 0 AND attempts >= 0", name="counts"),
        Index(None, "agent_id", "state", "number"),
        Index(
            "uq_agent_tasks_running",
            "agent_id",
            unique=True,
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
        # A number is never used twice: a report on a task that is gone must not meet another one.
        {"sqlite_autoincrement": True},
    )
