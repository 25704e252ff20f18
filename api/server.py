"""Serving the application over HTTP with uvicorn, by default on loopback."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import uvicorn

from api.app import create_app
from api.connections import protocol_within
from api.server_errors import StartError
from api.settings import ServiceSettings
from api.stored_answers import QuickAnswers
from api.watches import Watches
from nas.home import Home
from nas.store import Store

LOOPBACK: Final = "127.0.0.1"
_START_S: Final = 30.0
_BACKLOG: Final = 64
"""Connections that wait to be accepted, and that asyncio accepts before it makes room for them."""


def serve(
    store: Store,
    home: Home,
    *,
    host: str = LOOPBACK,
    port: int = 0,
    on_ready: Callable[[str], None] = lambda _url: None,
    settings: ServiceSettings | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM, then finishes the requests at hand.

    Args:
        store: Open; the caller closes it.
        home: Its artifacts are served.
        host: Address to listen on.
        port: 0 for a free one.
        on_ready: Gets the base URL once requests are answered.
        settings: What it takes and from whom, and what it tells.

    Raises:
        StartError: if it cannot listen on the address.
    """
    with _listening(host, port) as listener:
        url = _url(host, listener)
        _Server(_config(store, home, settings), lambda: on_ready(url)).run(sockets=[listener])


@contextmanager
def running(
    store: Store, home: Home, *, host: str = LOOPBACK, port: int = 0, settings: ServiceSettings | None = None
) -> Iterator[str]:
    """Serves in a thread while the block runs; gives the base URL. Arguments and errors as :func:`serve`."""
    ready = threading.Event()
    with _listening(host, port) as listener:
        server = _Server(_config(store, home, settings), ready.set)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="hwnas-api")
        thread.start()
        try:
            if not ready.wait(_START_S):
                raise StartError(f"the service did not start within {_START_S:g} s; see its log.")
            yield _url(host, listener)
        finally:
            server.should_exit = True
            thread.join()


class _Server(uvicorn.Server):
    def __init__(self, service: "_Configured", on_started: Callable[[], None]) -> None:
        super().__init__(service.config)
        self._watches = service.watches
        self._on_started = on_started

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends long polls and event streams first, since open requests are waited for."""
        self._watches.end()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends on a signal without raising it again, as uvicorn would: the caller has a store to close."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class _Configured:
    config: uvicorn.Config
    watches: Watches


def _config(store: Store, home: Home, settings: ServiceSettings | None) -> _Configured:
    settings = settings or ServiceSettings()
    limits = settings.limits
    app = create_app(store=store, home=home, max_queued=settings.max_queued, max_upload_bytes=settings.max_upload_bytes)
    config = uvicorn.Config(
        settings.around(QuickAnswers(app, app.state.answers), store),
        http=protocol_within(limits),
        loop="auto",
        backlog=_BACKLOG,
        timeout_graceful_shutdown=limits.drain_s,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
    )
    return _Configured(config, app.state.watches)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named since asyncio sets TCP_NODELAY only then; without it an answer takes 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            raise StartError(
                f"cannot listen on {host}, port {port}: {error}; choose another, or port 0 for a free one."
            ) from error
        listener.listen(_BACKLOG)
        yield listener


def _url(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
