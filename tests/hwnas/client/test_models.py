"""The client's classes say what the committed description says, and the client reaches each operation."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from hwnas.client import BatchRequest, CalibrationRequest, Client, Limits, SearchRequest, TrainingRequest, models
from hwnas.client.decoding import WHOLE, decode
from hwnas.client.errors import UnexpectedAnswerError
from hwnas.client.requests import Metric, SearchMethod

DESCRIPTION = json.loads((Path(__file__).parents[2] / "api" / "openapi.json").read_text("utf-8"))
SCHEMAS: dict[str, Any] = DESCRIPTION["components"]["schemas"]
ANSWERS = {
    "ArtifactOut": models.Artifact, "BatchOut": models.Batch, "CalibrationOut": models.Calibration,
    "CandidateInfoOut": models.CandidateInfo, "CandidateOut": models.Candidate, "DataSetOut": models.DataSet,
    "DeviceOut": models.Device,
    "EvaluationOut": models.Evaluation, "ExpectedAccuracyOut": models.ExpectedAccuracy,
    "FrontInfoOut": models.FrontInfo, "FrontOut": models.Front, "GeneOut": models.Gene, "JobErrorOut": models.JobError,
    "LatencyOut": models.Latency, "MeasurementOut": models.Measurement, "MemberOut": models.FrontMember,
    "PredictionOut": models.Prediction, "PredictionsOut": models.Predictions, "PredictorOut": models.Predictor,
    "RecommendationOut": models.Recommendation, "SearchOut": models.Search, "SearchSpaceOut": models.SearchSpace,
    "SupernetOut": models.Supernet, "TrainingOut": models.Training,
}  # fmt: skip
REQUESTS = {
    "BatchRequest": BatchRequest,
    "DeviceCalibrationRequest": CalibrationRequest,
    "LimitsIn": Limits,
    "SearchRequest": SearchRequest,
    "TrainingRequest": TrainingRequest,
}
METHODS = {
    "get_readiness": "check", "list_devices": "devices.list", "list_search_spaces": "search_spaces.list",
    "get_pareto_front": "fronts.pareto", "get_recommendation": "fronts.recommend", "list_fronts": "fronts.list",
    "get_front": "fronts.get", "delete_front": "fronts.delete", "get_artifact": "artifacts.download",
    "list_candidates": "candidates.list", "get_candidate": "candidates.get", "list_predictors": "predictors.list",
    "get_predictor": "predictors.get", "delete_predictor": "predictors.delete",
    "predict_candidates": "predictors.predict", "list_supernets": "supernets.list", "get_supernet": "supernets.get",
    "stream_search_events": "searches.events", "stream_calibration_events": "calibrations.events",
    "stream_training_events": "trainings.events",
    "delete_supernet": "supernets.delete", "begin_data_set": "data_sets.upload",
    "append_to_data_set": "data_sets.upload", "list_data_sets": "data_sets.list", "get_data_set": "data_sets.get",
    "delete_data_set": "data_sets.delete",
    **{f"list_{many}": f"{many}.list" for many in ("searches", "calibrations", "trainings", "batches")},
    **{
        f"{verb}_{one}": f"{many}.{verb}"
        for one, many in (
            ("search", "searches"), ("calibration", "calibrations"), ("training", "trainings"), ("batch", "batches"),
        )
        for verb in ("start", "get", "cancel", "delete")
    },
}  # fmt: skip
"""Of each operation."""


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_have_the_members_of_their_schema(name: str) -> None:
    schema, kind = SCHEMAS[name], ANSWERS[name]
    known = {field.name for field in fields(kind) if WHOLE not in field.metadata}
    if isinstance(getattr(kind, "kind", None), str):
        known |= {"kind"} & set(schema["properties"])
    assert known == set(schema["properties"])
    assert kind.__doc__
    optional = {field.name for field in fields(kind) if field.name in known and field.default is None}
    assert optional <= set(schema["properties"]) - set(schema["required"])


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_have_the_fields_of_their_schema(name: str) -> None:
    assert {field.name for field in fields(REQUESTS[name])} == set(SCHEMAS[name]["properties"])


def test_choices_are_those_of_the_description() -> None:
    search = SCHEMAS["SearchRequest"]["properties"]
    assert set(get_args(SearchMethod)) == set(search["method"]["enum"])
    assert set(get_args(Metric)) == set(search["objectives"]["items"]["enum"])
    assert set(get_args(models.JobState)) == set(SCHEMAS["SearchOut"]["properties"]["state"]["enum"])


def test_each_operation_has_a_method() -> None:
    operations = {
        operation["operationId"]
        for path, methods in DESCRIPTION["paths"].items()
        if not path.startswith(("/v1/agents", "/livez"))
        for operation in methods.values()
    }
    assert operations == set(METHODS)
    with Client() as client:
        for method in METHODS.values():
            target: Any = client
            for part in method.split("."):
                target = getattr(target, part)
            assert callable(target)


def test_answers_of_another_form_are_refused_with_their_place() -> None:
    whole = {"measured": 1, "predicted": None, "interval_90": [1, 2.5], "new": "ignored"}
    latency = decode(models.Latency, whole)
    assert (latency.measured, latency.interval_90) == (1.0, (1.0, 2.5))
    for change, place in (
        ({"measured": "1"}, "Latency.measured"),
        ({"measured": True}, "Latency.measured"),
        ({"interval_90": [1]}, "Latency.interval_90"),
        ({"interval_90": [1, None]}, r"Latency.interval_90\[1\]"),
    ):
        with pytest.raises(UnexpectedAnswerError, match=place):
            decode(models.Latency, whole | change)
    with pytest.raises(UnexpectedAnswerError, match=r"lacks Latency\.predicted"):
        decode(models.Latency, {"measured": 1, "interval_90": None})
