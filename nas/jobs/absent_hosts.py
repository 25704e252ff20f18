"""Hosts that jobs wait for: their devices are there, and no worker is."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from nas.jobs.queue import Job
from nas.store import Store


def absent_hosts(store: Store, jobs: Iterable[Job]) -> Mapping[str, int]:
    """Hosts without a worker that some of these jobs need, by name, with the number of these jobs.

    A job needs a worker if it is queued, or if the worker that ran it lost its lease.
    """
    now = store.clock()
    alive = {host.name for host in store.hosts.alive()}
    needed = Counter(job.host for job in jobs if job.host is not None and job.is_claimable(now))
    return {name: count for name, count in sorted(needed.items()) if name not in alive}


class AbsentHostNotices:
    """Says which hosts jobs wait for: once, and again when that changes."""

    def __init__(self, store: Store, say: Callable[[str], None]) -> None:
        self._store = store
        self._say = say
        self._absent: frozenset[str] = frozenset()

    def look(self, jobs: Iterable[Job]) -> None:
        """Says what has changed since the last look at these jobs."""
        waiting = absent_hosts(self._store, jobs)
        before, self._absent = self._absent, frozenset(waiting)
        if self._absent == before:
            return
        if not waiting:
            self._say("every host that jobs wait for has a worker now.")
            return
        named = ", ".join(f"{name} ({count} {'job' if count == 1 else 'jobs'})" for name, count in waiting.items())
        self._say(f"waiting for hosts without a worker: {named}; start `hwnas worker` there.")
