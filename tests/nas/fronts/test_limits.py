"""Networks within limits, or the closest one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.fronts.limits import LimitsNotMetError, best_accuracy, rows_within
from nas.metrics import LIMIT_NAMES, Constraints

_NETWORKS = [
    {"latency_p50_ms": 0.9, "latency_p95_ms": 1.0, "size_bytes": 100.0, "accuracy": 0.5},
    {"latency_p50_ms": 1.9, "latency_p95_ms": 2.0, "size_bytes": 400.0, "accuracy": 0.8, "load_time_ms": 3.0},
    {"latency_p50_ms": 3.9, "latency_p95_ms": 4.0, "size_bytes": 200.0, "accuracy": 0.9},
]


def test_the_least_relative_violation_is_nearest() -> None:
    # 0: 0 + 0.375; 1: 0.25 + 0; 2: 1.5 + 0
    with pytest.raises(LimitsNotMetError) as refusal:
        rows_within(_NETWORKS, Constraints.from_limits({"max_latency_p95_ms": 1.6, "min_accuracy": 0.8}))
    assert refusal.value.nearest == 1
    assert refusal.value.unmet_as_json() == [{"limit": "max_latency_p95_ms", "asked": 1.6, "nearest": 2.0, "best": 1.0}]
    assert "max_latency_p95_ms = 1.6 (closest 2, best of all 1)" in str(refusal.value)


def test_the_first_of_equals_is_nearest() -> None:
    with pytest.raises(LimitsNotMetError) as refusal:
        rows_within([_NETWORKS[0], _NETWORKS[0]], Constraints.from_limits({"min_accuracy": 0.99}))
    assert refusal.value.nearest == 0


def test_without_networks_there_is_no_nearest() -> None:
    for constraints in (Constraints(), Constraints.from_limits({"min_accuracy": 0.5})):
        with pytest.raises(LimitsNotMetError, match="no verified networks") as refusal:
            rows_within([], constraints)
        assert (refusal.value.nearest, refusal.value.unmet_as_json()) == (None, [])


def test_a_figure_that_is_not_known_keeps_no_limit() -> None:
    assert rows_within(_NETWORKS, Constraints.from_limits({"max_load_time_ms": 5})) == [1]
    with pytest.raises(LimitsNotMetError, match="not measured") as refusal:
        rows_within(_NETWORKS[:1], Constraints.from_limits({"max_peak_memory_bytes": 5}))
    assert refusal.value.unmet_as_json() == [
        {"limit": "max_peak_memory_bytes", "asked": 5, "nearest": None, "best": None}
    ]


_VALUE = st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.9])


@given(
    networks=st.lists(
        st.fixed_dictionaries(
            {"latency_p50_ms": _VALUE, "latency_p95_ms": _VALUE, "size_bytes": _VALUE, "accuracy": _VALUE},
            optional={"peak_memory_bytes": _VALUE, "load_time_ms": _VALUE},
        ),
        max_size=6,
    ),
    limits=st.dictionaries(st.sampled_from(sorted(LIMIT_NAMES)), _VALUE, max_size=4),
)
def test_rows_are_those_of_a_loop(networks: list[dict[str, float]], limits: dict[str, float]) -> None:
    def excess(network: dict[str, float], name: str, limit: float) -> float:
        if name == "min_accuracy":
            return max(0.0, limit - network["accuracy"]) / limit
        return max(0.0, network.get(LIMIT_NAMES[name].name, math.inf) - limit) / limit

    totals = [sum(excess(network, *limit) for limit in limits.items()) for network in networks]
    expected = [row for row, total in enumerate(totals) if total == 0]
    constraints = Constraints.from_limits(limits)
    if expected:
        assert rows_within(networks, constraints) == expected
        best = best_accuracy(networks, constraints)
        assert best in expected
        assert all(
            (networks[best]["accuracy"], -networks[best]["latency_p50_ms"])
            >= (networks[row]["accuracy"], -networks[row]["latency_p50_ms"])
            for row in expected
        )
        return
    with pytest.raises(LimitsNotMetError) as refusal:
        rows_within(networks, constraints)
    if networks:
        assert refusal.value.nearest is not None
        assert totals[refusal.value.nearest] == pytest.approx(min(totals))
