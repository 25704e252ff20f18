"""Predictors over HTTP against the predictors themselves."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nas.store.predictors import NewPredictor
from nas.workflows.predictor_revisions import load_predictor, store_revision
from nas.workspace import Workspace
from predictors.latency import LatencyPredictor
from search_spaces.registry import get_space
from tests.api.conftest import Service
from tests.api.problems import problem_of, wrong_fields
from tests.nas.predictors_at_hand import put_accuracy_predictor, put_latency_predictor
from tests.nas.store.rows import PROFILE, SPACE, SUPERNET_ID

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def latency(service: Service) -> tuple[str, Any]:
    return put_latency_predictor(service.home, service.store)


def predict(service: Service, revision: str, candidates: object) -> Any:
    return service.client.post(f"/v1/predictors/{revision}:predict", json={"candidates": candidates})


def test_a_thousand_candidates_are_predicted(service: Service, latency: tuple[str, Any]) -> None:
    revision, predictor = latency
    rows = SPACE.sample(1000, np.random.default_rng(3))
    response = predict(service, revision, SPACE.to_strings(rows))
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["predictor"], answer["device"], answer["space"]) == (revision, PROFILE.id, SPACE.name)
    assert answer["quantity"] == "latency_p50_ms"
    expected = predictor.predict(rows)
    assert [one["predicted"] for one in answer["predictions"]] == pytest.approx(expected.value.tolist())
    assert [one["interval_90"][0] for one in answer["predictions"]] == pytest.approx(expected.low.tolist())
    assert [one["outside"] for one in answer["predictions"]] == predictor.outside(rows).tolist()
    assert [one["candidate"] for one in answer["predictions"]] == [SPACE.candidate(row).id for row in rows]


def test_ids_of_stored_candidates_are_taken(service: Service, latency: tuple[str, Any]) -> None:
    answer = predict(service, latency[0], list(service.candidates)).json()
    assert [one["candidate"] for one in answer["predictions"]] == list(service.candidates)


def test_accuracy_is_predicted_too(service: Service) -> None:
    revision, predictor = put_accuracy_predictor(service.home, service.store)
    answer = predict(service, revision, [SPACE.to_string(SPACE.largest())]).json()
    assert (answer["quantity"], answer["device"]) == ("accuracy_val", None)
    assert answer["predictions"][0]["predicted"] == pytest.approx(
        float(predictor.predict(SPACE.largest()[None]).value[0])
    )


def test_a_predictor_says_what_it_rests_on(service: Service, latency: tuple[str, Any]) -> None:
    revision, predictor = latency
    answer = service.client.get(f"/v1/predictors/{revision}").json()
    assert answer["metrics"] == predictor.held_out.as_json()
    assert answer["data_sha256"] == predictor.data_sha256
    assert answer["schema_version"].startswith("hwnas.features/")
    assert answer["provenance"]["samples"] == 20
    assert (answer["kind"], answer["device"], answer["supernet"]) == ("latency", PROFILE.id, None)
    accuracy = service.client.get(f"/v1/predictors/{put_accuracy_predictor(service.home, service.store)[0]}").json()
    assert (accuracy["kind"], accuracy["supernet"], accuracy["provenance"]) == ("accuracy", SUPERNET_ID, None)


@pytest.mark.parametrize("unknown", ["x", "0" * 64, "%00", "A" * 64])
def test_unknown_predictors(service: Service, unknown: str) -> None:
    problem_of(service.client.get(f"/v1/predictors/{unknown}"), 404, "unknown-predictor")
    problem_of(predict(service, unknown, ["x"]), 404, "unknown-predictor")


@pytest.mark.parametrize(
    ("candidates", "field"),
    [
        ([], "candidates"),
        (["x"] * 1001, "candidates"),
        (None, "candidates"),
        ("x", "candidates"),
        ([SPACE.to_string(SPACE.largest()), "nonsense"], "candidates.1"),
        ([get_space("fbnet").to_string(get_space("fbnet").smallest())], "candidates.0"),
        (["f" * 64], "candidates.0"),
        ([""], "candidates.0"),
        (["x" * 2000], "candidates.0"),
        ([7], "candidates.0"),
        (["a\x00b"], "candidates.0"),
        (["lone \ud800"], "candidates.0"),
    ],
)
def test_a_wrong_candidate_is_named(service: Service, latency: tuple[str, Any], candidates: object, field: str) -> None:
    content = json.dumps({"candidates": candidates})
    response = service.client.post(f"/v1/predictors/{latency[0]}:predict", content=content, headers=JSON)
    assert wrong_fields(response) == [field]


_PIECES = (
    "ks=",
    "e=",
    "d=1-1-1",
    "w=",
    "se=",
    "a=relu",
    "r=20",
    "q=",
    ";",
    "-",
    "=",
    "3",
    "|",
    "~",
    "+",
    "nan",
    "0x",
    "%",
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=12) | st.lists(st.sampled_from(_PIECES), max_size=12).map("".join))
def test_no_text_makes_the_service_fail(service: Service, latency: tuple[str, Any], text: str) -> None:
    content = json.dumps({"candidates": [text]})
    response = service.client.post(f"/v1/predictors/{latency[0]}:predict", content=content, headers=JSON)
    assert wrong_fields(response) == ["candidates.0"]


def test_a_revision_whose_files_are_gone_is_said(service: Service) -> None:
    service.store.predictors.put(
        NewPredictor(
            id="b" * 64,
            kind="latency",
            profile_id=PROFILE.id,
            space=SPACE.name,
            supernet_id=None,
            data_sha256="d" * 64,
            schema_version="hwnas.features/1",
            metrics={},
            folder="b" * 64,
        )
    )
    problem_of(predict(service, "b" * 64, [SPACE.to_string(SPACE.largest())]), 410, "predictor-gone")


@pytest.mark.parametrize("damage", ["cut arrays", "changed arrays", "nulled field", "no object"])
def test_a_revision_whose_files_are_damaged_is_said_until_it_is_stored_again(service: Service, damage: str) -> None:
    revision, predictor = put_latency_predictor(service.home, service.store, seed=5)
    folder = service.home.predictors / revision
    arrays, document = folder / "arrays.npz", folder / "revision.json"
    if damage == "cut arrays":
        arrays.write_bytes(arrays.read_bytes()[:200])
    elif damage == "changed arrays":
        arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")
    elif damage == "nulled field":
        document.write_text(json.dumps(json.loads(document.read_text()) | {"repeatability": None}))
    else:
        document.write_text("[]")
    asked = [SPACE.to_string(SPACE.largest())]
    problem = problem_of(predict(service, revision, asked), 410, "predictor-gone")
    assert "hwnas calibrate" in problem["detail"]
    again = store_revision(Workspace(service.home, service.store), predictor, profile_id=PROFILE.id, supernet_id=None)
    assert again == revision
    stored = service.store.predictors.find(revision)
    assert stored is not None
    assert isinstance(load_predictor(service.home, stored), LatencyPredictor)
