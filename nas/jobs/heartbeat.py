"""A thread that keeps a lease alive, even through database errors."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_log: Final = logging.getLogger(__name__)


@contextmanager
def heartbeat(beat: Callable[[], bool], *, period_s: float, name: str) -> Iterator[None]:
    """Calls ``beat`` every ``period_s`` seconds in a thread until the context ends or it returns False.

    An error of a call is logged and the next call comes as usual: a lease outlives a few failures.
    """
    done = threading.Event()

    def run() -> None:
        while not done.wait(period_s):
            try:
                if not beat():
                    return
            except Exception as error:  # noqa: BLE001 - a thread that ends here loses the lease of healthy work
                _log.warning("%s: %s: %s", name, type(error).__name__, error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
