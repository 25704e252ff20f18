"""The table of hosts, whose workers measure on their own devices."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from nas.store.schema import Base, Name


class HostRow(Base):
    """A host with a worker, by the name that its devices' ids begin with."""

    __tablename__ = "hosts"

    name: Mapped[Name] = mapped_column(primary_key=True)
    machine: Mapped[Name]
    home: Mapped[str] = mapped_column(String(64))
    last_seen: Mapped[datetime]
