"""Both clients over a real server; tests ask the one for asyncio as they ask the other."""

import asyncio
import inspect
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.server import running
from api.settings import ServiceSettings
from hwnas.client import AsyncClient, Client, ClientSettings, RetryPolicy
from nas.home import Home
from nas.jobs import JobQueue
from nas.store import Store, open_store
from tests.api.conftest import fill
from tests.databases import SteppedClock

MAX_QUEUED = 4
Fault = Exception | httpx.Response | Callable[[httpx.Response], httpx.Response]
"""In place of an answer: an error, another answer, or what becomes of the answer."""


class Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The first bytes of a body, after which the connection is lost."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content
        raise httpx.ReadError("connection lost")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
        raise httpx.ReadError("connection lost")


class _Faults:
    """Faults that come one after the other, then none; and the requests that were sent."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults
        self.requests: list[httpx.Request] = []

    def before(self, request: httpx.Request) -> httpx.Response | None:
        self.requests.append(request)
        if not self.faults or callable(self.faults[0]):
            return None
        fault = self.faults.pop(0)
        if isinstance(fault, Exception):
            raise fault
        return fault

    def after(self, response: httpx.Response) -> httpx.Response:
        return self.faults.pop(0)(response) if self.faults and callable(self.faults[0]) else response


class _Transport(httpx.HTTPTransport):
    def __init__(self, faults: _Faults) -> None:
        super().__init__()
        self._faults = faults

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        fault = self._faults.before(request)
        if fault is not None:
            return fault
        response = super().handle_request(request)
        try:
            return self._faults.after(response)
        except Exception:
            response.close()
            raise


class _AsyncTransport(httpx.AsyncHTTPTransport):
    def __init__(self, faults: _Faults) -> None:
        super().__init__()
        self._faults = faults

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        fault = self._faults.before(request)
        if fault is not None:
            return fault
        response = await super().handle_async_request(request)
        try:
            return self._faults.after(response)
        except Exception:
            await response.aclose()
            raise


class Blocking:
    """The client for asyncio, asked without it."""

    def __init__(self, target: Any, runner: asyncio.Runner) -> None:
        self._target = target
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return Blocking(value, self._runner) if type(value).__name__.startswith("Async") else value
        return lambda *arguments, **named: self._done(value(*arguments, **named))

    def _done(self, result: Any) -> Any:
        if inspect.isasyncgen(result):
            return self._entries(result)
        return self._runner.run(result) if inspect.iscoroutine(result) else result

    def _entries(self, entries: Any) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(entries, None)

        while (entry := self._runner.run(following())) is not None:
            yield entry


@dataclass
class Served:
    """A served store and a client of the service."""

    client: Any
    store: Store
    home: Home
    queue: JobQueue
    url: str
    artifact: str
    candidates: tuple[str, ...]
    front_id: str
    body: bytes
    faulty: Callable[..., tuple[Any, _Faults, list[float]]]
    """A client with faults on its way; with it, the requests that it sent and the delays that it made."""

    def claim(self) -> Any:
        job = self.queue.claim("here:1", kinds=("search", "calibration"), lease_s=60)
        assert job is not None
        return job


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A home and what is in it; each test gets a copy, since migrations take seconds."""
    root = tmp_path_factory.mktemp("filled")
    with open_store(root / "hwnas.db", clock=SteppedClock()) as store:
        return root, fill(store, Home(root))


@pytest.fixture(params=["sync", "async"])
def served(request: pytest.FixtureRequest, tmp_path: Path, filled: tuple[Path, Any]) -> Iterator[Served]:
    root, (front, body, ids, artifact) = filled
    home = Home(tmp_path / "home")
    shutil.copytree(root, home.root)
    with ExitStack() as stack:
        store = stack.enter_context(open_store(home.root / "hwnas.db", clock=SteppedClock()))
        url = stack.enter_context(running(store, home, settings=ServiceSettings(max_queued=MAX_QUEUED)))
        runner = stack.enter_context(asyncio.Runner())

        def faulty(*faults: Fault, policy: RetryPolicy | None = None) -> tuple[Any, _Faults, list[float]]:
            way, delays = _Faults(list(faults)), []
            settings = ClientSettings(retries=policy or RetryPolicy())

            async def pause(seconds: float) -> None:
                delays.append(seconds)

            if request.param == "sync":
                own = stack.enter_context(httpx.Client(transport=_Transport(way)))
                client = Client(url, settings=settings, http=own)
                client._transport._sleep = delays.append
                return client, way, delays
            http = httpx.AsyncClient(transport=_AsyncTransport(way))
            stack.callback(lambda: runner.run(http.aclose()))
            asked = AsyncClient(url, settings=settings, http=http)
            asked._transport._sleep = pause
            return Blocking(asked, runner), way, delays

        if request.param == "sync":
            client: Any = stack.enter_context(Client(url))
        else:
            asynchronous = AsyncClient(url)
            stack.callback(lambda: runner.run(asynchronous.aclose()))
            client = Blocking(asynchronous, runner)
        yield Served(client, store, home, JobQueue(store), url, artifact, ids, front.id, body, faulty)
