"""Dependencies of routes, as annotated aliases.

All are coroutines: FastAPI would run plain functions in the thread pool, which may be full of requests that wait
for the database.
"""

from collections import Counter
from typing import Annotated, cast

from fastapi import Depends, Request, params

from api.callers import Caller, caller_of
from api.changes import change_of
from api.loaded_predictors import LoadedPredictors
from api.problems import FieldError, invalid_request
from api.stored_answers import StoredAnswers
from api.verified_files import VerifiedFiles
from api.watches import Watches
from nas.data_uploads import DataUploads
from nas.fronts.device_fronts import DeviceFronts
from nas.home import Home
from nas.jobs.batches import Batches
from nas.jobs.deletion import Deletions
from nas.jobs.job_statuses import JobStatuses
from nas.jobs.search_statuses import SearchStatuses
from nas.store import Store
from nas.store.api_keys import Scope
from nas.store.audit import Change
from nas.store.tenancy import Viewer


async def _store(request: Request) -> Store:
    return cast("Store", request.app.state.store)


async def _home(request: Request) -> Home:
    return cast("Home", request.app.state.home)


async def _predictors(request: Request) -> LoadedPredictors:
    return cast("LoadedPredictors", request.app.state.predictors)


async def _files(request: Request) -> VerifiedFiles:
    return cast("VerifiedFiles", request.app.state.files)


async def _answers(request: Request) -> StoredAnswers:
    return cast("StoredAnswers", request.app.state.answers)


async def _fronts(request: Request) -> DeviceFronts:
    return cast("DeviceFronts", request.app.state.fronts)


async def searches_of(request: Request) -> SearchStatuses:
    """The service's searches."""
    return SearchStatuses(request.app.state.store)


async def calibrations_of(request: Request) -> JobStatuses:
    """The service's calibrations."""
    return JobStatuses(request.app.state.store, "calibration")


async def trainings_of(request: Request) -> JobStatuses:
    """The service's trainings."""
    return JobStatuses(request.app.state.store, "training")


async def _uploads(request: Request) -> DataUploads:
    return cast("DataUploads", request.app.state.uploads)


async def _change(request: Request) -> Change:
    return change_of(request.scope)


async def _batches(request: Request) -> Batches:
    return Batches(request.app.state.store)


async def _deletions(request: Request) -> Deletions:
    return Deletions(request.app.state.store, request.app.state.home, change_of(request.scope))


async def _watches(request: Request) -> Watches:
    return cast("Watches", request.app.state.watches)


async def _caller(request: Request) -> Caller:
    return caller_of(request.scope)


async def _viewer(request: Request) -> Viewer:
    return caller_of(request.scope).viewer


def require_scope(scope: Scope) -> params.Depends:
    """A dependency that refuses callers whose API key lacks a scope with 403."""

    async def check(request: Request) -> None:
        caller_of(request.scope).require(scope)

    return cast("params.Depends", Depends(check))


async def refuse_parameters(request: Request) -> None:
    """For routes without query parameters: names any that comes.

    Raises:
        ProblemError: 422.
    """
    errors = [
        FieldError(place="query", field=name, message="unknown parameter; this address takes none")
        for name in request.query_params
    ]
    if errors:
        raise invalid_request(errors)


async def refuse_repeated_parameters(request: Request) -> None:
    """Names a query parameter that comes twice: which of them was meant?

    Raises:
        ProblemError: 422.
    """
    counts = Counter(name for name, _ in request.query_params.multi_items())
    errors = [
        FieldError(place="query", field=name, message="given more than once")
        for name, count in counts.items()
        if count > 1
    ]
    if errors:
        raise invalid_request(errors)


StoreDep = Annotated[Store, Depends(_store)]
FrontsDep = Annotated[DeviceFronts, Depends(_fronts)]
AnswersDep = Annotated[StoredAnswers, Depends(_answers)]
FilesDep = Annotated[VerifiedFiles, Depends(_files)]
HomeDep = Annotated[Home, Depends(_home)]
PredictorsDep = Annotated[LoadedPredictors, Depends(_predictors)]
SearchesDep = Annotated[SearchStatuses, Depends(searches_of)]
CalibrationsDep = Annotated[JobStatuses, Depends(calibrations_of)]
TrainingsDep = Annotated[JobStatuses, Depends(trainings_of)]
UploadsDep = Annotated[DataUploads, Depends(_uploads)]
ChangeDep = Annotated[Change, Depends(_change)]
BatchesDep = Annotated[Batches, Depends(_batches)]
DeletionsDep = Annotated[Deletions, Depends(_deletions)]
WatchesDep = Annotated[Watches, Depends(_watches)]
CallerDep = Annotated[Caller, Depends(_caller)]
ViewerDep = Annotated[Viewer, Depends(_viewer)]
