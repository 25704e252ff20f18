"""The OpenAPI schema of a front, ``hwnas.front/1``; fronts are sent as their stored bytes."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.problems import Problem

_MEMBER: dict[str, Any] = {
    "candidate": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "summary": "20px, 3 blocks: 8ch k3 e2 | 24ch k5 e2 | 48ch k3 e2",
    "precision": "int8",
    "size_bytes": 94000,
    "latency_p50_ms": {"measured": 0.0856, "predicted": 0.0805, "interval_90": [0.0738, 0.0878]},
    "latency_p95_ms": {"measured": 0.0978, "predicted": 0.0947, "interval_90": [0.0858, 0.138]},
    "accuracy_val": 0.8183,
    "accuracy_test": 0.805,
    "accuracy": {"expected": 0.8202, "interval_90": [0.8024, 0.838]},
    "metrics": {"accuracy": 0.8202, "latency_p50_ms": 0.0856, "size_bytes": 94000, "peak_memory_bytes": 324000},
    "quality": "ok",
    "artifacts": {"onnx": "artifacts/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
}


class LatencyOut(BaseModel):
    """A latency in milliseconds."""

    measured: float | None
    predicted: float | None = Field(description="By a predictor that had not seen this network's verification.")
    interval_90: tuple[float, float] | None


class ExpectedAccuracyOut(BaseModel):
    """The accuracy to expect on new images, a fraction."""

    expected: float
    interval_90: tuple[float, float]


class MemberOut(BaseModel):
    """One network of a front."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"example": _MEMBER})

    candidate: str = Field(description="Id of the candidate, a SHA-256.")
    summary: str
    precision: str
    size_bytes: int
    latency_p50_ms: LatencyOut
    latency_p95_ms: LatencyOut
    accuracy_val: float
    accuracy_test: float | None
    accuracy: ExpectedAccuracyOut | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    quality: str | None = Field(None, description="`noisy` where a measurement failed its own quality check.")
    float_units: list[str] = Field(
        default_factory=list,
        description="Units that the device computes in float in spite of their precision; the manifest says why.",
    )
    artifacts: dict[str, str] = Field(description="Paths by kind, relative to `/v1/`.")


class FrontOut(BaseModel):
    """A front, `hwnas.front/1`. Later versions may add fields."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "schema": "hwnas.front/1",
                "device": "local-cpu/onnxruntime",
                "space": "mobilenet_v3:tiny",
                "data": "fashion-mini",
                "seed": 0,
                "evaluations": 38,
                "members": [_MEMBER],
                "baselines": {},
            }
        },
    )

    schema_: str = Field(alias="schema", examples=["hwnas.front/1"])
    device: str
    space: str
    data: str
    seed: int
    evaluations: int
    members: list[MemberOut]
    baselines: dict[str, MemberOut | list[MemberOut] | None]
    supernet: str | None = None
    fingerprint: str | None = None
    method: str | None = None
    budget: dict[str, int] | None = None
    objectives: list[str] | None = None
    limits: dict[str, float] | None = None
    merged: list[str] | None = Field(None, description="Ids of the fronts that were merged, if several were.")


class LimitsProblem(Problem):
    """The problem of limits that no network meets."""

    nearest: MemberOut | None = None
    unmet: list[dict[str, Any]] = Field(
        default_factory=list, description="`limit`, `asked`, `nearest`, `best` of each."
    )
