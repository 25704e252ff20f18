import math

import numpy as np
import pytest

from nas.metrics import (
    ACCURACY,
    LATENCY_P50_MS,
    METRICS,
    Constraint,
    Constraints,
    Objective,
    Objectives,
    finite_metrics,
    get_metric,
)
from search_spaces.errors import UnknownNameError, UsageError

VALUES = {
    "accuracy": np.array([0.9, 0.8, 0.7]),
    "latency_p50_ms": np.array([4.0, 2.0, 1.0]),
    "size_bytes": np.array([100.0, 300.0, 200.0]),
}


def test_losses_are_minimized_on_each_metric_s_scale() -> None:
    losses = Objectives.from_names(["latency_p50_ms", "accuracy", "size_bytes"]).losses(VALUES)
    np.testing.assert_allclose(losses[:, 0], np.log([4.0, 2.0, 1.0]))
    np.testing.assert_allclose(losses[:, 1], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(losses[:, 2], np.log([100.0, 300.0, 200.0]))


def test_the_default_objectives_are_latency_and_accuracy() -> None:
    assert Objectives().names == ("latency_p50_ms", "accuracy")


@pytest.mark.parametrize("names", [["accuracy"], ["accuracy"] * 2, list(METRICS)[:5]])
def test_wrong_objectives_are_refused(names: list[str]) -> None:
    with pytest.raises(UsageError):
        Objectives(tuple(Objective(get_metric(name)) for name in names))


def test_violations_are_relative_and_summed() -> None:
    constraints = Constraints.from_limits({"max_latency_p50_ms": 2.0, "min_accuracy": 0.8, "max_size_bytes": None})
    np.testing.assert_allclose(constraints.violations(VALUES), [1.0, 0.0, 0.125])
    assert constraints.as_limits() == {"max_latency_p50_ms": 2.0, "min_accuracy": 0.8}


def test_no_constraint_is_violated_by_nothing() -> None:
    np.testing.assert_array_equal(Constraints().violations(VALUES), np.zeros(3))
    assert not Constraints()


def test_a_metric_s_constraint_can_be_left_out() -> None:
    limits = Constraints.from_limits({"max_latency_p95_ms": 8.0, "min_accuracy": 0.5})
    assert limits.without("accuracy").as_limits() == {"max_latency_p95_ms": 8.0}
    assert limits.without("size_bytes") == limits


def test_nearest_and_what_it_misses() -> None:
    constraints = Constraints.from_limits({"max_latency_p50_ms": 0.5, "min_accuracy": 0.6})
    row = constraints.nearest(VALUES)
    (unmet,) = constraints.unmet(VALUES, row)
    assert row == 2
    assert (unmet.constraint.name, unmet.nearest, unmet.best) == ("max_latency_p50_ms", 1.0, 1.0)


@pytest.mark.parametrize(("metric", "limit"), [(ACCURACY, 1.1), (LATENCY_P50_MS, 0.0), (LATENCY_P50_MS, math.inf)])
def test_limits_out_of_range_are_refused(metric: object, limit: float) -> None:
    with pytest.raises(UsageError, match=str(limit)):
        Constraint(metric=metric, limit=limit)  # type: ignore[arg-type]


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="min_accuracy"):
        Constraints.from_limits({"max_accuracy": 0.5})
    with pytest.raises(UnknownNameError, match="load_time_ms"):
        get_metric("energy")


def test_two_limits_on_one_metric_are_refused() -> None:
    limit = Constraint(metric=ACCURACY, limit=0.5)
    with pytest.raises(UsageError, match="twice"):
        Constraints((limit, limit))


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", True, None])
def test_metrics_must_be_finite_numbers(value: object) -> None:
    with pytest.raises(UsageError):
        finite_metrics({"size_bytes": value})
