"""The service as one command: a server, and a supervised worker process beside it."""

from collections.abc import Callable
from typing import Final

from api.server import serve
from hw_profiles.detect import detect_profiles
from nas.home import Home
from nas.jobs.supervisor import supervised_worker
from nas.store.database import PoolSettings
from nas.store.store import open_store

_BUSY_S: Final = 5.0
"""Clients come again sooner than after the half minute that a command waits for the database."""


def run_service(*, host: str, port: int, with_worker: bool, announce: Callable[[str], None]) -> None:
    """Serves the home of the environment until SIGINT or SIGTERM.

    Args:
        host: address to listen on.
        port: 0 takes a free one.
        with_worker: whether a worker process runs queued jobs.
        announce: called with one line that has the address, once requests are answered.

    Raises:
        ServerError: where the address cannot be listened on.
        StoreError: where the database cannot be used.
    """
    home = Home.from_environment()
    home.root.mkdir(parents=True, exist_ok=True)
    with open_store(home.database_url, pool=PoolSettings(busy_s=_BUSY_S, wait_s=_BUSY_S)) as store:
        for profile in detect_profiles():
            store.devices.put(profile)

        def ready(url: str) -> None:
            announce(f"hwnas listens on {url} (description: {url}/docs); Ctrl-C ends it.")

        if not with_worker:
            serve(store, home, host=host, port=port, on_ready=ready)
            return
        with supervised_worker(store):
            serve(store, home, host=host, port=port, on_ready=ready)
