"""The benchmarks of whole searches: their figures by hand, and one real run of each."""

import math

import numpy as np
import pytest

from nas.fronts.front import Accuracy, Latency, Member
from nas.search.outcome import Outcome
from nas.workflows.judged_fronts import JudgedFront
from nas.workflows.limits_benchmark import random_limits
from nas.workflows.results_benchmark import ResultsPlan, judged_rows
from nas.workflows.several_devices import hypervolume_matrix
from search_spaces.errors import UsageError


def member(latency_ms, expected, test, *, predicted=None, reading=None, precision="fp32"):
    predicted = predicted or (latency_ms * 0.9, latency_ms * 1.1)
    return Member(
        candidate="a" * 64,
        summary="",
        precision=precision,
        size_bytes=1,
        latency_p50_ms=Latency(measured=latency_ms, predicted=latency_ms, interval_90=predicted),
        latency_p95_ms=Latency(measured=latency_ms),
        accuracy_val=expected if reading is None else reading,
        accuracy_test=test,
        accuracy=Accuracy(expected=expected, interval_90=(expected - 0.02, expected + 0.02)),
    )


def judged(method, members, *, slowest_ms=4.0, least_accurate=0.5):
    return JudgedFront(
        method=method,
        seed=0,
        members=tuple(members),
        slowest_ms=slowest_ms,
        least_accurate=least_accurate,
        evaluations=30,
        lookups=100,
        seconds=1.0,
    )


def test_figures_of_a_front_by_hand():
    good, bad = member(1.0, 0.80, 0.79), member(2.0, 0.90, 0.85, predicted=(1.0, 1.5), reading=0.92)
    (row,) = judged_rows("device", [judged("hwnas", [good, bad])])
    assert row.optimism == pytest.approx((0.01 + 0.05) / 2)
    assert row.reading_optimism == pytest.approx((0.01 + 0.07) / 2)
    assert (row.latency_coverage_90, row.accuracy_coverage_90) == (0.5, 0.5)
    assert row.best_test == 0.85
    # Two steps of a staircase below log 4 and error 0.5.
    assert row.test_hypervolume == pytest.approx(math.log(2) * 0.29 + math.log(2) * 0.35)


def test_all_methods_share_one_reference():
    slow = judged("random", [member(1.0, 0.8, 0.8)], slowest_ms=10.0, least_accurate=0.2)
    first, second = judged_rows("device", [judged("hwnas", [member(1.0, 0.8, 0.8)]), slow])
    assert first.test_hypervolume == pytest.approx(math.log(10) * 0.6)
    assert second.test_hypervolume == first.test_hypervolume


@pytest.mark.parametrize("methods", [("random",), ("hwnas", "other"), ("hwnas", "integer_programming"), ()])
def test_plans_that_cannot_be_are_refused(methods):
    with pytest.raises(UsageError, match="methods"):
        ResultsPlan(device="d", methods=methods)


def test_random_limits_lie_inside_the_designed_range_and_repeat():
    designed = [
        Outcome(candidate_id=str(n), metrics={"latency_p95_ms": p95, "accuracy": accuracy})
        for n, (p95, accuracy) in enumerate([(0.1, 0.6), (0.4, 0.8), (1.0, 0.9)])
    ]
    drawn = [random_limits(designed, seed) for seed in range(40)]
    assert all(0.1 < limits["max_latency_p95_ms"] < 1.0 for limits in drawn)
    assert all(("min_accuracy" in limits) == bool(seed % 2) for seed, limits in enumerate(drawn))
    assert all(0.6 < limits["min_accuracy"] < 0.9 for limits in drawn[1::2])
    assert random_limits(designed, 7) == drawn[7]


def test_hypervolume_matrix_has_a_reference_per_device():
    own = [np.array([[0.0, 0.1]]), np.array([[1.0, 0.1]])]
    other = [np.array([[0.5, 0.1], [0.2, 0.3]]), np.array([[0.5, 0.1], [1.5, 0.3]])]
    matrix = hypervolume_matrix([own, other])
    # A tenth of the range beyond the worst: (0.55, 0.32) on the first device, (1.6, 0.32) on the second.
    both = 0.05 * 0.22 + 0.35 * 0.02 - 0.05 * 0.02
    np.testing.assert_allclose(matrix, [[0.55 * 0.22, 0.6 * 0.22], [both, 1.1 * 0.22]])


def test_fronts_of_one_and_the_same_network_are_worth_the_same():
    alike = [np.array([[0.3, 0.1]])]
    matrix = hypervolume_matrix([alike, alike])
    assert matrix[0, 0] == matrix[1, 0] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("supernet")
def test_a_real_benchmark_of_two_methods(hwnas, tmp_path):
    rows = hwnas.json(
        "bench", "results", "--seeds", 1, "--evaluations", 6, "--methods", "hwnas,random", "--scratch", tmp_path / "s"
    )
    assert [row["method"] for row in rows] == ["hwnas", "random"]
    assert rows[0]["evaluations"] == rows[1]["evaluations"] == 6
    assert rows[0]["lookups"] == rows[1]["lookups"] > 0
    assert all(row["test_hypervolume"] >= 0 and 0 <= row["accuracy_coverage_90"] <= 1 for row in rows)
    assert all(row["members"] > 0 and 0 < row["best_test"] <= 1 for row in rows)


@pytest.mark.slow
@pytest.mark.usefixtures("supernet")
def test_limits_are_measured_again(hwnas):
    rows = hwnas.json("bench", "limits", "--searches", 2, "--evaluations", 8)
    assert len(rows) == 2
    assert all(row["latency_held"] <= row["members"] for row in rows)


@pytest.mark.slow
@pytest.mark.usefixtures("supernet")
def test_one_search_for_two_devices(hwnas):
    found = hwnas.json(
        "search", "--device", "local-cpu/onnxruntime", "--device", "local-cpu/tvm", "--evaluations", 6, "--survey", 8
    )
    assert found["devices"] == [front["device"] for front in found["documents"]]
    assert np.diag(found["relative"]).tolist() == [1.0, 1.0]


@pytest.mark.usefixtures("supernet")
def test_naming_a_device_twice_is_refused(hwnas):
    assert "two or more different" in hwnas.refused("search", "--device", "local-cpu/tvm", "--device", "local-cpu/tvm")
