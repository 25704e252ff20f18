"""The OpenAPI 3.1 document: FastAPI's, completed and corrected.

``python -m api.openapi`` prints it.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi.routing import APIRoute

from api.problems import PROBLEM_JSON
from nas.home import Home
from nas.jobs.requests import MAX_INTEGER
from nas.store import open_store

_BOUNDS: Final = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_PROBLEM: Final = {"schema": {"$ref": "#/components/schemas/Problem"}}
_OPEN: Final = {"/livez", "/readyz"}
_TEXT: Final = {"type": "string"}
_HEADERS: Final[Mapping[str, dict[str, Any]]] = {
    "Location": {"description": "Address of what was made.", "schema": _TEXT},
    "Link": {"description": 'Address of the next page, with rel="next" (RFC 8288).', "schema": _TEXT},
    "ETag": {"description": "SHA-256 of the bytes, for If-None-Match.", "schema": _TEXT},
    "Cache-Control": {"description": "Whether the answer may change.", "schema": _TEXT},
    "Repr-Digest": {"description": "SHA-256 of the whole file (RFC 9530).", "schema": _TEXT},
    "Retry-After": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "How to send an API key.", "schema": _TEXT},
    "Accept-Post": {"description": "The type that a body must have.", "schema": _TEXT},
    "Content-Range": {"description": "Which bytes of how many.", "schema": _TEXT},
    "Idempotency-Replayed": {"description": "`true` if an earlier request was answered so.", "schema": _TEXT},
}
_PROBLEMS: Final[Mapping[HTTPStatus, tuple[str, tuple[str, ...]]]] = {
    HTTPStatus.UNAUTHORIZED: ("An API key is needed, and none or a wrong one was sent.", ("WWW-Authenticate",)),
    HTTPStatus.FORBIDDEN: ("The API key lacks a scope, or what is to be changed belongs to nobody.", ()),
    HTTPStatus.NOT_FOUND: ("Nothing has this id, or it is another tenant's.", ()),
    HTTPStatus.CONFLICT: ("Its state does not allow it, or something refers to it.", ()),
    HTTPStatus.GONE: ("It was stored, but its bytes are missing or damaged.", ()),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("The body is too large.", ()),
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ("The body is of another type than this address takes.", ("Accept-Post",)),
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: ("The file has no such bytes.", ("Content-Range",)),
    HTTPStatus.UNPROCESSABLE_ENTITY: ("A field is wrong; `errors` names each.", ()),
    HTTPStatus.TOO_MANY_REQUESTS: (
        "Too many jobs are waiting, or the quota of the API key is used up.",
        ("Retry-After",),
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: ("The database or the service is busy.", ("Retry-After",)),
}


def operation_id(route: APIRoute) -> str:
    """The name of the route's function."""
    return route.name


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """The description with each status code, headers, problems' media type, security and exact bounds."""
    document.setdefault("components", {})["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key (`hwnas keys create`). Over loopback, none is needed by default.",
        }
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
            if path not in _OPEN:
                operation["security"] = [{"key": []}, {}]
    exact = _with_exact_bounds(document)
    if not isinstance(exact, dict):
        raise TypeError("a description is an object")
    return exact


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status in _problem_statuses(path, method, operation):
        description, headers = _PROBLEMS[status]
        entry = responses.setdefault(str(status.value), {"description": description})
        entry.setdefault("content", {PROBLEM_JSON: _PROBLEM})
        if headers:
            entry["headers"] = _named(*headers)
    for code, answer in responses.items():
        if code[0] in "45" and "application/json" in answer.get("content", {}):
            answer["content"] = {PROBLEM_JSON: answer["content"].pop("application/json")}
        if headers := _answer_headers(path, method, code, operation):
            answer.setdefault("headers", {}).update(_named(*headers))
    operation["responses"] = dict(sorted(responses.items()))


def _problem_statuses(path: str, method: str, operation: dict[str, Any]) -> list[HTTPStatus]:
    statuses = [HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE]
    if path not in _OPEN:
        statuses += [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN]
    if "{" in path:
        statuses.append(HTTPStatus.NOT_FOUND)
    if "requestBody" in operation:
        statuses += [HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE]
    if {"201", "202"} & operation["responses"].keys():
        statuses.append(HTTPStatus.TOO_MANY_REQUESTS)
    if method == "delete" or (method == "patch" and "requestBody" in operation):
        statuses.append(HTTPStatus.CONFLICT)
    if path.endswith((":predict", "/pareto", "/recommendation", "/{front_id}", "/{sha256}")) and method != "delete":
        statuses.append(HTTPStatus.GONE)
    if path.endswith("/{sha256}"):
        statuses.append(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
    return statuses


def _answer_headers(path: str, method: str, code: str, operation: dict[str, Any]) -> tuple[str, ...]:
    if code == "202":
        return ("Location", "Idempotency-Replayed")
    if code == "201":
        return ("Location",)
    if code == "200" and any(one["name"] == "page_token" for one in operation.get("parameters", ())):
        return ("Link",)
    if method == "get" and code in {"200", "206", "304"}:
        if path.endswith("/{sha256}"):
            return ("ETag", "Cache-Control", "Repr-Digest", *(("Content-Range",) if code == "206" else ()))
        if path.endswith(("/pareto", "/{front_id}")):
            return ("ETag", "Cache-Control")
    return ()


def _named(*names: str) -> dict[str, Any]:
    return {name: dict(_HEADERS[name]) for name in names}


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


def main() -> None:
    """Prints the description."""
    from api.app import create_app  # noqa: PLC0415 - it imports this module

    with tempfile.TemporaryDirectory() as folder, open_store(Path(folder) / "hwnas.db") as store:
        document = create_app(store=store, home=Home(Path(folder))).openapi()
    document["info"].pop("version")
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
