"""Errors as problem documents (RFC 9457), for all parts of the service."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from nas.data_uploads import (
    TooManyBytesError,
    UploadBusyError,
    UploadEndedError,
    UploadTooLargeError,
    WrongDigestError,
    WrongOffsetError,
)
from nas.fronts.device_fronts import NoFrontError, UnclearFrontError
from nas.home import DiskFullError
from nas.jobs.deletion import StillActiveError, StillReferencedError
from nas.jobs.quotas import BeyondQuotaError, QuotaExceededError
from nas.jobs.submission import IdempotencyConflictError, QueueFullError
from nas.store.errors import (
    AgentBusyError,
    AgentSupersededError,
    FrontDamagedError,
    NotStoredError,
    StoreUnavailableError,
    TaskLostError,
    UnknownAgentError,
)
from search_spaces.errors import NasError, UsageError

PROBLEM_JSON: Final = "application/problem+json"
_RETRY_AFTER_S: Final = 5
_log: Final = logging.getLogger(__name__)


class FieldError(BaseModel):
    """One field of the request that is wrong."""

    model_config = ConfigDict(serialize_by_alias=True)

    field: str
    """Its name; dots lead into objects."""
    place: Annotated[str, Field(serialization_alias="in")]
    """``query``, ``path`` or ``body``."""
    message: str


class Problem(BaseModel):
    """A problem document of RFC 9457. Some types carry further members, said in their route's description."""

    type: str
    """``urn:hwnas:problem:CODE``; the code is stable."""
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None
    """With ``invalid-request``: each wrong field."""


class ProblemError(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.more = dict(more or {})
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The document."""
        problem = Problem(
            type=f"urn:hwnas:problem:{self.code}",
            title=self.status.phrase,
            status=self.status,
            detail=self.detail,
            errors=list(self.errors) or None,
        )
        content = problem.model_dump(mode="json", exclude_none=True) | self.more
        return JSONResponse(content, self.status, headers=self.headers, media_type=PROBLEM_JSON)


def invalid_field(place: str, field: str, message: str) -> ProblemError:
    """The problem of one wrong field."""
    return invalid_request([FieldError(place=place, field=field, message=message)])


def invalid_request(errors: Sequence[FieldError]) -> ProblemError:
    """The problem of wrong fields: always 422, the first one named in the detail."""
    first = errors[0]
    where = f"{first.place} field {first.field!r}" if first.field else f"the {first.place}"
    return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", f"{where}: {first.message}.", errors=errors)


def unsupported_media_type(needed: str) -> ProblemError:
    """The problem of a body of another type than the address takes."""
    detail = f"send the body with Content-Type: {needed}."
    return ProblemError(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail, headers={"Accept-Post": needed}
    )


def not_found(code: str, detail: str) -> ProblemError:
    """The problem of an id that nothing has."""
    return ProblemError(HTTPStatus.NOT_FOUND, code, detail)


def install_problem_handlers(app: FastAPI) -> None:
    """Turns every exception into a problem document."""

    def on_problem(_request: Request, error: Exception) -> JSONResponse:
        return problem_of_error(error).response()

    for kind in (ProblemError, RequestValidationError, HTTPException, NasError):
        app.add_exception_handler(kind, on_problem)
    app.add_exception_handler(Exception, on_problem)


_STATUSES: Final[Mapping[type[NasError], HTTPStatus]] = {
    FrontDamagedError: HTTPStatus.GONE,
    UsageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    IdempotencyConflictError: HTTPStatus.UNPROCESSABLE_ENTITY,
    StillActiveError: HTTPStatus.CONFLICT,
    AgentBusyError: HTTPStatus.CONFLICT,
    AgentSupersededError: HTTPStatus.CONFLICT,
    TaskLostError: HTTPStatus.CONFLICT,
    BeyondQuotaError: HTTPStatus.FORBIDDEN,
    DiskFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    UploadTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UploadEndedError: HTTPStatus.CONFLICT,
    TooManyBytesError: HTTPStatus.UNPROCESSABLE_ENTITY,
    WrongDigestError: HTTPStatus.UNPROCESSABLE_ENTITY,
}


def _status(error: NasError) -> HTTPStatus | None:
    return next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), None)


def problem_of_error(error: Exception) -> ProblemError:
    """The problem that an exception is to its client."""
    match error:
        case ProblemError():
            return error
        case RequestValidationError():
            return invalid_request([_field_error(entry) for entry in error.errors()])
        case HTTPException():
            return _http_problem(error)
        case StoreUnavailableError() | UploadBusyError():
            return ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, error.code, str(error), headers={"Retry-After": str(_RETRY_AFTER_S)}
            )
        case QueueFullError() | QuotaExceededError():
            return ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS, error.code, str(error), headers={"Retry-After": str(error.retry_after_s)}
            )
        case WrongOffsetError():
            return ProblemError(
                HTTPStatus.CONFLICT, error.code, str(error), headers={"Upload-Offset": str(error.offset)}
            )
        case StillReferencedError():
            return ProblemError(HTTPStatus.CONFLICT, error.code, str(error), more={"referrers": list(error.referrers)})
        case NotStoredError() | NoFrontError():
            return not_found(error.code, str(error))
        case UnclearFrontError():
            return invalid_field("query", error.field, error.reason)
        case UnknownAgentError():
            return ProblemError(HTTPStatus.UNAUTHORIZED, error.code, str(error), headers={"WWW-Authenticate": "Bearer"})
        case NasError() if (status := _status(error)) is not None:
            return ProblemError(status, error.code, str(error))
        case _:
            _log.error("a request failed", exc_info=error)
            detail = "the service failed to answer this request; see its log for the cause."
            return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail)


def _http_problem(error: HTTPException) -> ProblemError:
    status = HTTPStatus(error.status_code)
    if status == HTTPStatus.BAD_REQUEST:  # a body that the parser gave up on, as it was nested too deep
        return invalid_request([FieldError(place="body", field="", message="cannot be parsed")])
    details = {
        HTTPStatus.NOT_FOUND: "there is nothing at this address; /openapi.json lists all routes.",
        HTTPStatus.METHOD_NOT_ALLOWED: "this address does not take this method; the Allow header lists those it takes.",
    }
    code = status.phrase.lower().replace(" ", "-")
    return ProblemError(status, code, details.get(status, str(error.detail)), headers=error.headers)


def _field_error(entry: Mapping[str, Any]) -> FieldError:
    place, *path = entry["loc"]
    if entry["type"] == "json_invalid":
        return FieldError(place="body", field="", message=f"not JSON: {entry['ctx']['error']}")
    if place == "body" and not path:
        return FieldError(place="body", field="", message="send a JSON object with Content-Type: application/json")
    return FieldError(place=str(place), field=".".join(map(str, path)), message=str(entry["msg"]))
