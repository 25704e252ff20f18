"""Prometheus metrics, on a separate port."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import func, select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.server_errors import StartError
from api.stored_answers import STORED
from nas.jobs.queue import JobKind, JobState
from nas.store import Store
from nas.store.tables import JobRow
from search_spaces.errors import NasError

_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ServiceMetrics:
    """What a service counts, and the state of its jobs when it is asked."""

    def __init__(self, store: Store) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "hwnas_http_requests", "Requests by route, method and status.", ("route", "method", "status"),
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "hwnas_http_request_seconds", "Time from a request to the end of its answer.", ("route", "method"),
            registry=self.registry, buckets=_BUCKETS_S,
        )  # fmt: skip
        self.registry.register(_Jobs(store))

    @contextmanager
    def served(self, host: str, port: int) -> Iterator[int]:
        """Serves ``/metrics`` while the context is open; gives the port (a free one for 0).

        Raises:
            StartError: if the address cannot be listened on.
        """
        try:
            server, thread = start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:
            raise StartError(f"cannot serve metrics on {host}, port {port}: {error}; choose another port.") from error
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class CountedRequests:
    """ASGI middleware that counts and times requests by route."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        start_s = time.perf_counter()
        try:
            await self._app(scope, receive, watch)
        finally:
            route = _route(scope)
            self._metrics.requests.labels(route, scope["method"], status).inc()
            self._metrics.seconds.labels(route, scope["method"]).observe(time.perf_counter() - start_s)


def _route(scope: Scope) -> str:
    """The route's template, so that labels are few; answers from memory never reach a route."""
    route: Any = scope.get("route")
    if route is not None:
        return str(route.path)
    return "stored" if STORED in scope else "none"


class _Jobs(Collector):
    """Jobs by kind and state, the age of the oldest one that waits, and workers that are silent."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names what :meth:`collect` gives, without asking the database."""
        yield from (GaugeMetricFamily(name, text) for name, text in _GAUGES.items())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Queries the database; returns only ``hwnas_database_up`` if it does not respond."""
        up = GaugeMetricFamily("hwnas_database_up", _GAUGES["hwnas_database_up"])
        try:
            found = self._figures()
        except NasError:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield from found

    def _figures(self) -> list[GaugeMetricFamily]:
        now = self._store.clock()
        counted = select(JobRow.kind, JobRow.state, func.count()).group_by(JobRow.kind, JobRow.state)
        oldest = select(func.min(JobRow.created_at)).where(JobRow.state == "queued")
        silent = select(func.count()).where(JobRow.state == "running", JobRow.lease_until <= now)
        with self._store.database.read() as session:
            counts = {(row[0], row[1]): row[2] for row in session.execute(counted)}
            waiting_since = session.scalar(oldest)
            silent_count = session.scalar(silent) or 0
        jobs = GaugeMetricFamily("hwnas_jobs", _GAUGES["hwnas_jobs"], labels=("kind", "state"))
        for kind in get_args(JobKind):
            for state in get_args(JobState):
                jobs.add_metric((kind, state), counts.get((kind, state), 0))
        age = timedelta(0) if waiting_since is None else now - waiting_since
        waiting = GaugeMetricFamily("hwnas_oldest_queued_seconds", _GAUGES["hwnas_oldest_queued_seconds"])
        waiting.add_metric((), max(0.0, age.total_seconds()))
        expired = GaugeMetricFamily("hwnas_jobs_with_expired_lease", _GAUGES["hwnas_jobs_with_expired_lease"])
        expired.add_metric((), silent_count)
        return [jobs, waiting, expired]


_GAUGES: Final = {
    "hwnas_database_up": "Whether the database answers.",
    "hwnas_jobs": "Jobs by kind and state.",
    "hwnas_oldest_queued_seconds": "Age of the oldest job that waits; 0 without one.",
    "hwnas_jobs_with_expired_lease": "Jobs whose worker is silent and that nobody has claimed since.",
}
