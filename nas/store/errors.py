"""Errors of the database."""

from typing import ClassVar

from search_spaces.errors import NasError


class StoreError(NasError):
    """The database cannot be opened or used."""

    code: ClassVar[str] = "store"


class StoreUnavailableError(StoreError):
    """The database is out of reach or busy; trying again later may help."""

    code: ClassVar[str] = "store-unavailable"


class StoreDamagedError(StoreUnavailableError):
    """The database's file was deleted, replaced or damaged."""

    code: ClassVar[str] = "store-damaged"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"the database {name} cannot be used: {reason}; restore it from a copy, then restart hwnas.")


class StoreConflictError(StoreError):
    """A row that contradicts what is stored: an invariant of the database refused it."""

    code: ClassVar[str] = "store-conflict"


class NotStoredError(StoreError):
    """Nothing is stored under this id."""

    code: ClassVar[str] = "not-stored"

    def __init__(self, kind: str, key: str) -> None:
        self.kind = kind
        self.key = key
        super().__init__(f"no {kind} {key!r} is stored; check the id.")


class SearchBusyError(StoreConflictError):
    """Another live process runs the search."""

    code: ClassVar[str] = "search-busy"

    def __init__(self, search_id: str, process: str) -> None:
        self.search_id = search_id
        self.process = process
        super().__init__(
            f"search {search_id} runs in process {process};"
            f" wait until it ends, or stop it: hwnas search cancel {search_id}."
        )


class FrontFormatError(StoreError):
    """The bytes of a front do not follow ``hwnas.front/1``."""

    code: ClassVar[str] = "front-format"


class FrontDamagedError(StoreError):
    """The stored bytes of a front are not those that were stored."""

    code: ClassVar[str] = "front-damaged"

    def __init__(self, front_id: str) -> None:
        self.front_id = front_id
        super().__init__(
            f"front {front_id[:12]} is damaged in the database; search again with another seed"
            " (`hwnas search --seed N`), or restore the database from a copy."
        )


class LeaseLostError(StoreError):
    """The job went to another worker, ended or was never held: this worker's results no longer count."""

    code: ClassVar[str] = "lease-lost"

    def __init__(self, job_id: str, fence: int) -> None:
        self.job_id = job_id
        self.fence = fence
        super().__init__(f"job {job_id} is no longer held under fence {fence}; its results here are dropped.")


class HostNameTakenError(StoreConflictError):
    """Another machine or an agent has this host's name."""

    code: ClassVar[str] = "host-name-taken"

    def __init__(self, name: str, holder: str) -> None:
        self.name = name
        super().__init__(
            f"{holder} is called {name!r} in this database, and a device's id begins with its host's name; set"
            " HWNAS_HOST to a name of its own on each host."
        )


class HomeNotSharedError(StoreConflictError):
    """Hosts that share a database have different homes."""

    code: ClassVar[str] = "home-not-shared"

    def __init__(self, other: str) -> None:
        super().__init__(
            f"HWNAS_HOME here is not that of host {other!r}, which uses the same database: supernets, predictors and"
            " artifacts lie in it; mount one folder as HWNAS_HOME on all hosts."
        )


class UnknownAgentError(StoreError):
    """No agent has this authentication key."""

    code: ClassVar[str] = "unknown-agent"

    def __init__(self) -> None:
        super().__init__("no agent has this token, or it was revoked; create one with `hwnas agents create NAME`.")


class AgentBusyError(StoreConflictError):
    """Another installation serves under the agent's name at the moment."""

    code: ClassVar[str] = "agent-busy"

    def __init__(self, name: str, seen_s: float) -> None:
        self.name = name
        super().__init__(
            f"another agent {name!r} is connected from elsewhere (last seen {seen_s:.0f} s ago); stop that one, or"
            " give each machine a name and token of its own with `hwnas agents create NAME`."
        )


class AgentSupersededError(StoreConflictError):
    """A newer process of the agent has registered since."""

    code: ClassVar[str] = "agent-superseded"

    def __init__(self, name: str) -> None:
        super().__init__(f"a newer process of agent {name!r} has registered; this one must register again or end.")


class TaskLostError(StoreError):
    """The task went back to the queue, ended or is no longer wanted: a report on it no longer counts."""

    code: ClassVar[str] = "task-lost"

    def __init__(self, number: int, fence: int) -> None:
        super().__init__(f"task {number} is no longer held under fence {fence}; its result is dropped.")
