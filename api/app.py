"""The application: routes over a store and a home."""

from importlib.metadata import version
from typing import Any, Final, cast

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

from api import docs_page
from api.body_limit import BodyLimit
from api.change_limit import ChangeLimit
from api.loaded_predictors import LoadedPredictors
from api.methods import Methods
from api.problems import PROBLEM_JSON, Problem, install_problem_handlers
from api.routes import (
    agents,
    artifacts,
    calibrations,
    candidates,
    devices,
    fronts,
    health,
    predictors,
    search_spaces,
    searches,
)
from api.stored_answers import StoredAnswers
from api.verified_files import VerifiedFiles
from api.wire import MAX_INTEGER
from nas.fronts.device_fronts import DeviceFronts
from nas.home import Home
from nas.store import Store

_DESCRIPTION: Final = (
    "The best networks for a device, measured on it. "
    "Every error is a problem document (RFC 9457); its `type` is stable."
)
_BOUNDS: Final = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}


def create_app(*, store: Store, home: Home) -> FastAPI:
    """The service over an open store, which the caller closes, and a home whose artifacts it serves."""
    app = _Service(
        title="hwnas",
        version=version("hwnas"),
        description=_DESCRIPTION,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        responses={
            "4XX": {"model": Problem, "description": "The request is wrong or asks for what is not there."},
            "5XX": {"model": Problem, "description": "The service cannot answer now."},
        },
    )
    app.state.store = store
    app.state.ending = False
    app.state.home = home
    app.state.fronts = DeviceFronts(store)
    app.state.files = VerifiedFiles()
    app.state.answers = StoredAnswers(store)
    app.state.predictors = LoadedPredictors(home)
    install_problem_handlers(app)
    modules = (
        health, devices, search_spaces, fronts, candidates, artifacts, searches, calibrations, predictors, agents,
        docs_page,
    )  # fmt: skip
    known: list[BaseRoute] = list(app.routes)
    for module in modules:
        app.include_router(module.router)
        known += module.router.routes
    app.add_middleware(ChangeLimit)
    app.add_middleware(BodyLimit)
    app.add_middleware(Methods, routes=[route for route in known if isinstance(route, Route)])
    return app


class _Service(FastAPI):
    """FastAPI with a description that says what the service does."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once: problems with their own media type, and exact bounds."""
        if self.openapi_schema is None:
            document = super().openapi()
            _give_problems_their_type(document)
            self.openapi_schema = cast("dict[str, Any]", _with_exact_bounds(document))
        return self.openapi_schema


def _with_exact_bounds(node: object) -> object:
    """FastAPI turns bounds into floats, which rounds the largest integers beyond what is accepted."""
    if isinstance(node, list):
        return [_with_exact_bounds(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    whole = node.get("type") == "integer"
    return {
        name: min(int(value), MAX_INTEGER)
        if whole and isinstance(value, float) and name in _BOUNDS
        else _with_exact_bounds(value)
        for name, value in node.items()
    }


def _give_problems_their_type(document: dict[str, Any]) -> None:
    """FastAPI describes every JSON answer as application/json; problems have a type of their own."""
    for path in document["paths"].values():
        for operation in path.values():
            for status in ("4XX", "5XX"):
                content = operation["responses"][status]["content"]
                for media_type in [name for name in content if name != PROBLEM_JSON]:
                    content[PROBLEM_JSON] = content.pop(media_type)
