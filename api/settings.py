"""Settings of the service."""

from dataclasses import dataclass, field
from typing import TextIO

from starlette.types import ASGIApp

from api.access_log import AccessLog
from api.authentication import Authentication
from api.connections import ConnectionLimits
from api.known_hosts import KnownHosts
from api.metrics import CountedRequests, ServiceMetrics
from api.trace_context import TraceContext
from nas.data_uploads import DEFAULT_MAX_UPLOAD_BYTES
from nas.jobs.submission import DEFAULT_MAX_QUEUED
from nas.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Settings of the service: limits, authentication, logs and metrics."""

    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    """Of its connections."""
    max_queued: int = DEFAULT_MAX_QUEUED
    """Jobs that may wait."""
    max_upload_bytes: int = DEFAULT_MAX_UPLOAD_BYTES
    """Of one data set."""
    require_keys: bool = False
    """Whether requests need an API key."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that requests may be for where they need no key, besides those of the loopback address."""
    access_log: TextIO | None = None
    """Gets a line of JSON for each request."""
    metrics: ServiceMetrics | None = None
    """Counts requests."""

    def around(self, app: ASGIApp, store: Store) -> ASGIApp:
        """The application behind what these settings ask for."""
        app = Authentication(app, store) if self.require_keys else KnownHosts(app, self.allowed_hosts)
        if self.metrics is not None:
            app = CountedRequests(app, self.metrics)
        return TraceContext(app if self.access_log is None else AccessLog(app, self.access_log))
