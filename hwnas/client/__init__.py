"""Python client of the hwnas service; needs only httpx.

Example::

    from hwnas.client import Client, Limits, SearchRequest

    with Client("http://127.0.0.1:8000") as client:
        search = client.searches.start(SearchRequest(device="local-cpu/tvm", space="mobilenet_v3:tiny"))
        search = client.searches.wait(search)
        best = client.fronts.recommend("local-cpu/tvm", limits=Limits(max_latency_p95_ms=2))
        client.artifacts.download_member(best.member, "network")
"""

from hwnas.client._async.client import AsyncClient
from hwnas.client._sync.client import Client
from hwnas.client.errors import (
    ClientError,
    ConflictError,
    DamagedDownloadError,
    ForbiddenError,
    GoneError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
    JobFailedError,
    LimitsNotMetError,
    NotFoundError,
    ProblemError,
    ServerError,
    ServiceUnavailableError,
    ServiceUnreachableError,
    StillActiveError,
    StillReferencedError,
    TooManyRequestsError,
    UnauthorizedError,
    UnexpectedAnswerError,
    WaitTimeoutError,
    WrongField,
)
from hwnas.client.progress import ProgressBar
from hwnas.client.requests import BatchRequest, CalibrationRequest, Limits, SearchRequest, TrainingRequest
from hwnas.client.retries import RetryPolicy
from hwnas.client.settings import ClientSettings
from hwnas.client.version import VERSION

__all__ = [
    "VERSION",
    "AsyncClient",
    "BatchRequest",
    "CalibrationRequest",
    "Client",
    "ClientError",
    "ClientSettings",
    "ConflictError",
    "DamagedDownloadError",
    "ForbiddenError",
    "GoneError",
    "IdempotencyKeyReusedError",
    "InvalidRequestError",
    "JobFailedError",
    "Limits",
    "LimitsNotMetError",
    "NotFoundError",
    "ProblemError",
    "ProgressBar",
    "RetryPolicy",
    "SearchRequest",
    "ServerError",
    "ServiceUnavailableError",
    "ServiceUnreachableError",
    "StillActiveError",
    "StillReferencedError",
    "TooManyRequestsError",
    "TrainingRequest",
    "UnauthorizedError",
    "UnexpectedAnswerError",
    "WaitTimeoutError",
    "WrongField",
]
