"""The application: routes over a store and a home."""

from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

from api import docs_page, web_page
from api.body_limit import BodyLimit
from api.change_limit import ChangeLimit
from api.loaded_predictors import LoadedPredictors
from api.methods import Methods
from api.openapi import completed, operation_id
from api.problems import Problem, install_problem_handlers
from api.routes import (
    agents,
    artifacts,
    batches,
    calibrations,
    candidates,
    data_sets,
    devices,
    fronts,
    health,
    predictors,
    search_spaces,
    searches,
    supernets,
    trainings,
)
from api.same_site import SameSite
from api.stored_answers import StoredAnswers
from api.verified_files import VerifiedFiles
from api.watches import Watches
from nas.data_uploads import DEFAULT_MAX_UPLOAD_BYTES, DataUploads
from nas.fronts.device_fronts import DeviceFronts
from nas.home import Home
from nas.jobs.submission import DEFAULT_MAX_QUEUED, Submissions
from nas.store import Store

_DESCRIPTION: Final = (
    "The best networks for a device, measured on it. "
    "Every error is a problem document (RFC 9457); its `type` is stable."
)


def create_app(
    *,
    store: Store,
    home: Home,
    max_queued: int = DEFAULT_MAX_QUEUED,
    max_upload_bytes: int = DEFAULT_MAX_UPLOAD_BYTES,
) -> FastAPI:
    """The service over an open store, which the caller closes, and a home whose artifacts it serves.

    At most ``max_queued`` jobs may wait, and uploaded data sets have at most ``max_upload_bytes``.
    """
    app = _Service(
        title="hwnas",
        version=version("hwnas"),
        description=_DESCRIPTION,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
        responses={
            "4XX": {"model": Problem, "description": "The request is wrong or asks for what is not there."},
            "5XX": {"model": Problem, "description": "The service cannot answer now."},
        },
    )
    app.state.store = store
    app.state.home = home
    app.state.fronts = DeviceFronts(store)
    app.state.files = VerifiedFiles()
    app.state.answers = StoredAnswers(store)
    app.state.submissions = Submissions(store, max_queued=max_queued)
    app.state.uploads = DataUploads(store, home, max_bytes=max_upload_bytes)
    app.state.watches = Watches(store)
    app.state.predictors = LoadedPredictors(home)
    install_problem_handlers(app)
    modules = (
        health, devices, search_spaces, fronts, candidates, artifacts, searches, calibrations, batches, predictors,
        supernets, trainings, data_sets, agents, docs_page, web_page,
    )  # fmt: skip
    known: list[BaseRoute] = list(app.routes)
    for module in modules:
        app.include_router(module.router)
        known += module.router.routes
    app.add_middleware(ChangeLimit)
    app.add_middleware(BodyLimit)
    app.add_middleware(SameSite)
    app.add_middleware(Methods, routes=[route for route in known if isinstance(route, Route)])
    return app


class _Service(FastAPI):
    """FastAPI with a description that says what the service does."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = completed(super().openapi())
        return self.openapi_schema
