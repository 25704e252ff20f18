"""Errors of the client.

Errors of the service are problem documents (RFC 9457) and become a :class:`ProblemError`, by status and code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

_CODE_PREFIX: Final = "urn:hwnas:problem:"
_LONGEST_TEXT: Final = 300


class ClientError(Exception):
    """Root of all errors of this package."""


class ServiceUnreachableError(ClientError):
    """No response: connection refused, lost or timed out."""


class UnexpectedAnswerError(ClientError):
    """The response does not match the service's OpenAPI document; is it an hwnas service?"""


class DamagedDownloadError(ClientError):
    """The downloaded bytes do not have the requested hash."""


class JobFailedError(ClientError):
    """A job ended, but did not succeed."""

    def __init__(self, job: Any) -> None:  # noqa: ANN401 - Search, Calibration or Batch: models import nothing from here
        self.job = job
        """As it was last seen: a ``Search``, ``Calibration`` or ``Batch``."""
        error = getattr(job, "error", None)
        reason = "" if error is None else f": {error.message}"
        super().__init__(f"{job.kind} {job.id} is {job.state}{reason}")


class WaitTimeoutError(ClientError):
    """A job did not end within the time to wait; it continues."""

    def __init__(self, job: Any, timeout_s: float) -> None:  # noqa: ANN401 - as above
        self.job = job
        """As it was last seen."""
        super().__init__(f"{job.kind} {job.id} is still {job.state} after {timeout_s:g} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongField:
    """One field of the request that is wrong."""

    field: str
    """Its name; dots lead into objects."""
    place: str
    """``query``, ``path``, ``header`` or ``body``."""
    message: str


class ProblemError(ClientError):
    """The service refused the request or could not answer it."""

    def __init__(self, status: int, document: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        self.status = status
        self.document = document
        """The whole problem document."""
        self.code = str(document.get("type", "")).removeprefix(_CODE_PREFIX)
        """Stable, such as ``unknown-device``; the route's description names those that it gives."""
        self.title = str(document.get("title", ""))
        self.detail = str(document.get("detail", ""))
        self.retry_after_s = retry_after_s
        """How long the service asks to wait before another attempt."""
        super().__init__(f"{status} {self.code}: {self.detail}")


class InvalidRequestError(ProblemError):
    """422: a field is wrong."""

    @property
    def fields(self) -> tuple[WrongField, ...]:
        """Each wrong field, as far as the service named it."""
        return tuple(
            WrongField(field=entry["field"], place=entry["in"], message=entry["message"])
            for entry in self.document.get("errors", ())
        )


class IdempotencyKeyReusedError(InvalidRequestError):
    """422: the idempotency key was used for another request."""


class UnauthorizedError(ProblemError):
    """401: an API key is needed, and none or a wrong one was sent."""


class ForbiddenError(ProblemError):
    """403: the API key lacks a scope, or what is to be changed belongs to somebody else."""


class NotFoundError(ProblemError):
    """404: nothing has this id, or it is another tenant's."""


class ConflictError(ProblemError):
    """409: what is stored does not allow it."""


class StillActiveError(ConflictError):
    """409: a job that has not ended cannot be deleted."""


class StillReferencedError(ConflictError):
    """409: something refers to what was to be deleted."""

    @property
    def referrers(self) -> tuple[str, ...]:
        """Objects that refer to it."""
        return tuple(map(str, self.document.get("referrers", ())))


class LimitsNotMetError(ConflictError):
    """409: no network meets the limits."""

    @property
    def nearest(self) -> Mapping[str, Any] | None:
        """The front's member with the smallest violation, as JSON; None if the front is empty."""
        member: Mapping[str, Any] | None = self.document.get("nearest")
        return member

    @property
    def unmet(self) -> tuple[Mapping[str, Any], ...]:
        """Of each limit that ``nearest`` misses: ``limit``, ``asked``, ``nearest`` and ``best`` (of all members)."""
        return tuple(self.document.get("unmet", ()))


class GoneError(ProblemError):
    """410: it was stored, but its bytes are missing or damaged."""


class TooManyRequestsError(ProblemError):
    """429: too many jobs are waiting, or the quota of the API key is used up."""


class ServerError(ProblemError):
    """5xx: the service failed."""


class ServiceUnavailableError(ServerError):
    """502, 503 or 504: the service or its database cannot answer now; trying again later may help."""


_BY_CODE: Final[Mapping[str, type[ProblemError]]] = {
    "idempotency-key-reused": IdempotencyKeyReusedError,
    "still-active": StillActiveError,
    "still-referenced": StillReferencedError,
    "limits-not-met": LimitsNotMetError,
}
_BY_STATUS: Final[Mapping[int, type[ProblemError]]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidRequestError,
    429: TooManyRequestsError,
    502: ServiceUnavailableError,
    503: ServiceUnavailableError,
    504: ServiceUnavailableError,
}


def error_of(response: httpx.Response) -> ClientError:
    """The error that an answer without success is; its body has been read."""
    status = response.status_code
    if status < 400:  # a redirection: whoever gave the address should know
        where = response.headers.get("location", "nowhere")
        return UnexpectedAnswerError(f"{response.url} answered {status} and points to {where}; use that address.")
    document = _document(response)
    code = str(document["type"]).removeprefix(_CODE_PREFIX)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or (ServerError if status >= 500 else ProblemError)
    return kind(status, document, _retry_after_s(response.headers.get("retry-after")))


def _document(response: httpx.Response) -> Mapping[str, Any]:
    try:
        document = json.loads(response.content)
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("type"), str):
        return document
    detail = " ".join(response.text.split())[:_LONGEST_TEXT]  # of a proxy, which knows no problem documents
    return {"type": f"http-{response.status_code}", "title": response.reason_phrase, "detail": detail}


def _retry_after_s(value: str | None) -> float | None:
    """Seconds, of either form of the header (RFC 9110, section 10.2.3); None if there is none or it is malformed."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment.tzinfo is not None else None
