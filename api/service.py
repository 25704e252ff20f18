"""The service as one command: a server and a supervised worker process."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from api.loopback import is_loopback
from api.metrics import ServiceMetrics
from api.server import LOOPBACK, serve
from api.server_errors import KeysRequiredError
from api.settings import ServiceSettings
from hw_profiles.host import local_host
from nas.data_uploads import DEFAULT_MAX_UPLOAD_BYTES
from nas.home import Home
from nas.jobs.submission import DEFAULT_MAX_QUEUED
from nas.jobs.supervisor import supervised_worker
from nas.output_paths import check_output_file
from nas.store import Store
from nas.store.database import PoolSettings
from nas.store.store import open_store
from nas.workspace import Workspace

_BUSY_S: Final = 5.0
"""Clients come again sooner than after the half minute that a command waits for the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Options of ``hwnas serve``."""

    host: str = LOOPBACK
    port: int = 0
    """0 takes a free one."""
    with_worker: bool = True
    """Whether a worker process runs queued jobs."""
    require_keys: bool = False
    """Whether requests over loopback need an API key; others always do."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that requests without keys may be for, besides ``localhost`` and the like."""
    max_queued: int = DEFAULT_MAX_QUEUED
    max_upload_bytes: int = DEFAULT_MAX_UPLOAD_BYTES
    access_log: str | None = None
    """File to append to; ``-`` is standard error."""
    metrics_port: int | None = None


def run_service(options: ServeOptions, *, announce: Callable[[str], None]) -> None:
    """Serves the home of the environment until SIGINT or SIGTERM.

    Args:
        options: of the command.
        announce: called with one line that has the address, once requests are answered.

    Raises:
        StartError: if an address cannot be listened on.
        KeysRequiredError: if other machines could ask and there is no API key.
        StoreError: if the database cannot be used.
        ProfileError: if HWNAS_HOST cannot be a host's name.
    """
    local_host()  # a wrong HWNAS_HOST is refused now, not with the first request
    home = Home.from_environment()
    home.root.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        pool = PoolSettings(busy_s=_BUSY_S, wait_s=_BUSY_S)
        store = stack.enter_context(open_store(home.database_url, pool=pool))
        settings = _settings(options, store, stack)
        if options.with_worker or not store.database.is_shared:  # else workers elsewhere name their own
            Workspace(home, store).put_local_devices()
        lines = []
        if settings.metrics is not None and options.metrics_port is not None:
            port = stack.enter_context(settings.metrics.served(options.host, options.metrics_port))
            lines.append(f" (metrics: port {port})")

        def ready(url: str) -> None:
            announce(f"hwnas listens on {url} (description: {url}/docs){''.join(lines)}; Ctrl-C ends it.")

        if options.with_worker:
            stack.enter_context(supervised_worker(store))
        serve(store, home, host=options.host, port=options.port, on_ready=ready, settings=settings)


def _settings(options: ServeOptions, store: Store, stack: ExitStack) -> ServiceSettings:
    require_keys = options.require_keys or not is_loopback(options.host)
    if require_keys and not store.api_keys.count_active():
        raise KeysRequiredError(options.host)
    return ServiceSettings(
        max_queued=options.max_queued,
        max_upload_bytes=options.max_upload_bytes,
        require_keys=require_keys,
        allowed_hosts=options.allowed_hosts,
        access_log=None if options.access_log is None else stack.enter_context(_log_stream(options.access_log)),
        metrics=None if options.metrics_port is None else ServiceMetrics(store),
    )


@contextmanager
def _log_stream(path: str) -> Iterator[TextIO]:
    if path == "-":
        yield sys.stderr
        return
    check_output_file(Path(path), "--access-log")
    with Path(path).open("a", encoding="utf-8") as stream:
        yield stream
