"""The description: complete, exact, and compatible with the one that clients were generated from."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.front_wire import FrontOut
from nas.jobs.requests import DEFAULT_OBJECTIVES, MAX_INTEGER
from nas.metrics import METRICS, Objectives
from nas.search.budget import DEFAULT_EVALUATIONS, MIN_EVALUATIONS
from tests.api.conftest import Service
from tests.api.openapi_compatibility import described, incompatibilities, operations_of
from tests.nas.store.rows import PROFILE, SPACE

SNAPSHOT = Path(__file__).parent / "openapi.json"
SEARCH = {"device": PROFILE.id, "space": SPACE.name}


def test_the_description_states_the_budget_of_the_command_line(service: Service) -> None:
    schemas = service.client.get("/openapi.json").json()["components"]["schemas"]
    evaluations = schemas["SearchRequest"]["properties"]["evaluations"]
    assert (evaluations["minimum"], evaluations["default"]) == (MIN_EVALUATIONS, DEFAULT_EVALUATIONS)
    objectives = schemas["SearchRequest"]["properties"]["objectives"]
    assert objectives["items"]["enum"] == list(METRICS)
    assert Objectives().names == DEFAULT_OBJECTIVES


def test_the_bounds_of_the_description_are_those_of_the_service(service: Service) -> None:
    schemas = service.client.get("/openapi.json").json()["components"]["schemas"]
    for name in ("SearchRequest", "CalibrationRequest"):
        assert repr(schemas[name]["properties"]["seed"]["maximum"]) == str(MAX_INTEGER)
    whole = schemas["LimitsIn"]["properties"]["max_size_bytes"]["anyOf"][0]
    assert repr(whole["maximum"]) == str(MAX_INTEGER)
    body = SEARCH | {"seed": MAX_INTEGER, "limits": {"max_size_bytes": whole["maximum"]}}
    response = service.client.post("/v1/searches", json=body)
    assert response.status_code == 202, response.text
    service.queue.cancel(response.json()["id"])


def test_the_description_is_openapi_3_1_with_each_status(service: Service) -> None:
    document = service.client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = (method, path)
            assert re.fullmatch(r"[a-z_]+", operation["operationId"]), where
            assert operation.get("summary"), where
            assert operation.get("description"), where
            responses = operation["responses"]
            assert {"422", "503", "4XX", "5XX"} <= set(responses), where
            assert ("401" in responses) == ("security" in operation) == (path not in ("/livez", "/readyz")), where
            for code, answer in responses.items():
                if code[0] in "45":
                    assert list(answer["content"]) == ["application/problem+json"], where
                elif code not in ("204", "206", "304"):
                    assert all(media["schema"] for media in answer["content"].values()), where
            if "202" in responses:
                assert "Location" in responses["202"]["headers"]
                assert "Retry-After" in responses["429"]["headers"]


def test_generated_clients_know_every_operation_by_name() -> None:
    operations = operations_of(described())
    assert {"get_pareto_front", "start_batch", "list_searches", "cancel_calibration", "stream_search_events"} <= set(
        operations
    )
    assert len(operations) == len({(method, path) for method, path in operations.values()})


def test_stored_fronts_are_what_the_description_says(service: Service) -> None:
    front = FrontOut.model_validate_json(service.body)
    assert [member.candidate for member in front.members] == list(service.candidates)


def test_the_committed_description_is_this_one() -> None:
    """After a change: ``python -m api.openapi > tests/api/openapi.json``."""
    assert json.loads(SNAPSHOT.read_text()) == described()


def test_clients_of_the_committed_description_still_work() -> None:
    assert incompatibilities(json.loads(SNAPSHOT.read_text()), described()) == []


@pytest.mark.parametrize(
    ("path", "change", "named"),
    [
        (("paths",), lambda paths: paths.pop("/v1/batches"), "start_batch"),
        (("paths", "/v1/searches"), lambda operations: operations.pop("get"), "list_searches"),
        (
            ("components", "schemas", "SearchRequest"),
            lambda schema: schema["required"].append("seed"),
            "SearchRequest.seed is required now",
        ),
        (
            ("components", "schemas", "SearchOut", "properties"),
            lambda properties: properties.pop("front"),
            "SearchOut.front is gone",
        ),
        (
            ("components", "schemas", "SearchOut", "properties", "evaluations"),
            lambda schema: schema.update(type="string"),
            "SearchOut.evaluations",
        ),
        (
            ("paths", "/v1/searches", "get"),
            lambda operation: operation["parameters"].append({"name": "x", "in": "query", "required": True}),
            "list_searches: parameter x is required now",
        ),
        (("paths", "/v1/searches", "post", "responses"), lambda responses: responses.pop("202"), "start_search: 202"),
    ],
)
def test_a_change_that_breaks_clients_is_named(
    path: tuple[str, ...], change: Callable[[Any], object], named: str
) -> None:
    document = described()
    node = document
    for name in path:
        node = node[name]
    change(node)
    assert any(named in entry for entry in incompatibilities(described(), document))
