"""The service as one command: a server, and a supervised worker process beside it."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from api.server import serve
from hw_profiles.detect import detect_profiles
from nas.home import Home
from nas.store.store import open_store

_RESTART_S: Final = 1.0
_DRAIN_S: Final = 5.0


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
    with open_store(home.database_url) as store:
        for profile in detect_profiles():
            store.devices.put(profile)

        def ready(url: str) -> None:
            announce(f"hwnas listens on {url} (description: {url}/docs); Ctrl-C ends it.")

        if not with_worker:
            serve(store, home, host=host, port=port, on_ready=ready)
            return
        with supervised_worker():
            serve(store, home, host=host, port=port, on_ready=ready)


@contextmanager
def supervised_worker() -> Iterator[None]:
    """A worker process that is restarted whenever it dies, until the context ends.

    At the end it is asked twice to stop, which returns its job to the queue.
    """
    ending = threading.Event()
    starting = threading.Lock()
    current: list[subprocess.Popen[bytes]] = []

    def supervise() -> None:
        while True:
            with starting:
                if ending.is_set():
                    return
                # A session of its own: the terminal's Ctrl-C reaches the server, and the server ends the worker.
                process = subprocess.Popen([sys.executable, "-m", "nas.cli", "worker"], start_new_session=True)
                current[:] = [process]
            process.wait()
            ending.wait(_RESTART_S)

    thread = threading.Thread(target=supervise, name="worker-supervisor")
    thread.start()
    try:
        yield
    finally:
        with starting:
            ending.set()
        for process in current:
            _stop(process)
        thread.join()


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Drain, release, and where neither helps in time, kill: the lease gives the job back then."""
    # Two different signals: two of one kind may reach the worker as one.
    for number in (signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
    try:
        process.wait(timeout=_DRAIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
