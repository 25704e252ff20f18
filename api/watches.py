"""Waiting for database changes without a thread, for long polls and event streams."""

import asyncio
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from starlette.concurrency import run_in_threadpool

from nas.store import Store

_LOOK_S: Final = 0.1
"""Between looks at a SQLite database's stamp, which takes microseconds."""
_ASK_S: Final = 0.5
"""Between questions to a database without a stamp."""
Found = TypeVar("Found")


class Watches:
    """Waits on behalf of requests; ends all waits when the service ends."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ended = threading.Event()

    def end(self) -> None:
        """Ends every wait, now and from now on."""
        self._ended.set()

    @property
    def ended(self) -> bool:
        """Whether the service is ending."""
        return self._ended.is_set()

    async def until(self, find: Callable[[], Found], is_done: Callable[[Found], bool], *, seconds: float) -> Found:
        """Asks ``find`` in a thread, again after each change of the database, until ``is_done`` or the time is over.

        Returns:
            What was found last.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + seconds
        while True:
            stamp = self._store.database.stamp()
            found = await run_in_threadpool(find)
            if is_done(found) or not await self._changed(stamp, until_s):
                return found

    async def _changed(self, stamp: tuple[int, ...] | None, until_s: float) -> bool:
        """Waits for a change since ``stamp``; False once the time is over or the service ends."""
        loop = asyncio.get_running_loop()
        asked_s = loop.time() + _ASK_S
        while not self.ended and loop.time() < until_s:
            await asyncio.sleep(min(_LOOK_S, max(0.0, until_s - loop.time())))
            now = self._store.database.stamp()
            if now != stamp if stamp is not None and now is not None else loop.time() >= asked_s:
                return True
        return False
