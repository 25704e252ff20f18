import dataclasses
import json
from pathlib import Path

import pytest

from hw_profiles.errors import MeasuringError
from hw_profiles.measurement import Measurement, MeasurementFailure

MEASUREMENT = Measurement(
    candidate_id="c",
    profile_id="local-cpu/tvm",
    fingerprint="f",
    latency_p50_ms=1.0,
    latency_p95_ms=1.5,
    samples_ms=(1.0, 1.1),
    rounds=2,
    spread=0.01,
    anchor_factor=0.99,
    repeatability=0.02,
    quality="ok",
    attempts=1,
    artifact=Path("a.so"),
    artifact_sha256="00",
    size_bytes=10,
    max_abs_error=1e-7,
    top1_agreement=1.0,
    compile_s=1.0,
    measured_at="2026-01-01T00:00:00+00:00",
)
FAILURE = MeasurementFailure(
    candidate_id="c",
    profile_id="local-cpu/tvm",
    fingerprint="f",
    stage="compile",
    message="no",
    measured_at="2026-01-01T00:00:00+00:00",
)


@pytest.mark.parametrize("value", [MEASUREMENT, FAILURE])
def test_json_round_trip(value):
    assert type(value).from_json(json.loads(json.dumps(value.as_json()))) == value


@pytest.mark.parametrize(("value", "field"), [(MEASUREMENT, "quality"), (FAILURE, "stage")])
def test_bad_rows_are_refused(value, field):
    row = value.as_json()
    with pytest.raises(MeasuringError, match="'odd'"):
        type(value).from_json(row | {field: "odd"})
    with pytest.raises(MeasuringError, match="extra"):
        type(value).from_json(row | {"extra": 1})
    row.pop(field)
    with pytest.raises(MeasuringError, match=field):
        type(value).from_json(row)


def test_rows_of_earlier_versions_have_no_footprint():
    row = MEASUREMENT.as_json()
    del row["load_time_ms"], row["peak_memory_bytes"]
    assert Measurement.from_json(row) == MEASUREMENT
    measured = dataclasses.replace(MEASUREMENT, load_time_ms=2.5, peak_memory_bytes=4096)
    assert Measurement.from_json(json.loads(json.dumps(measured.as_json()))) == measured
