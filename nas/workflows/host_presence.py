"""A worker's host while it works: its devices are known, and no other machine can take its name."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hw_profiles.host import local_host, machine_id
from nas.jobs.heartbeat import heartbeat
from nas.jobs.worker import StopSignal
from nas.store.errors import HomeNotSharedError, HostNameTakenError
from nas.workspace import Workspace

_log: Final = logging.getLogger(__name__)
_BEAT_S: Final = 15.0


@contextmanager
def present_host(workspace: Workspace, stop: StopSignal, *, beat_s: float = _BEAT_S) -> Iterator[None]:
    """Announces this host, stores its devices, and announces it again and again until the context ends.

    If another machine turns out to have its name, no further jobs are claimed.

    Raises:
        HostNameTakenError: if an agent, or another machine that is there, has this host's name.
        HomeNotSharedError: if another host that is there has another HWNAS_HOME.
    """
    name, machine, home = local_host(), machine_id(), workspace.home.identity

    def announce() -> None:
        workspace.store.hosts.announce(name, machine=machine, home=home)

    def beat() -> bool:
        try:
            announce()
        except (HostNameTakenError, HomeNotSharedError) as error:
            _log.error("no further job is taken: %s", error)
            stop.drain()
            return False
        return True

    announce()
    workspace.put_local_devices()
    with heartbeat(beat, period_s=beat_s, name="host-presence"):
        yield
