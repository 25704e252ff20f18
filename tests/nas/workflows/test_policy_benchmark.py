"""The benchmark of policies: its plan and figures by hand, and one real run."""

import json
import math

import pytest

from nas.workflows.judged_fronts import JudgedFront
from nas.workflows.policy_benchmark import POLICY_METHODS, PolicyPlan, policy_rows
from search_spaces.errors import UsageError
from search_spaces.registry import get_space
from tests.nas.workflows.test_results_benchmark import member

SPACE = get_space("mobilenet_v3:tiny")


def judged(method, latency_ms, test, precision="fp32"):
    return JudgedFront(
        method=method,
        seed=0,
        members=(member(latency_ms, test, test, precision=precision),),
        slowest_ms=4.0,
        least_accurate=0.5,
        evaluations=12,
        lookups=60,
        seconds=1.0,
        unit_evaluations=7,
    )


def test_figures_of_two_methods_by_hand():
    joint, programmed = policy_rows(
        "device", [judged("joint", 1.0, 0.8, "mixed (1/9 int8)"), judged("integer_programming", 2.0, 0.9)]
    )
    assert joint.test_hypervolume == pytest.approx(math.log(4) * 0.3)
    assert programmed.test_hypervolume == pytest.approx(math.log(2) * 0.4)
    assert (joint.quantized_members, programmed.quantized_members) == (1, 0)
    assert (programmed.evaluations, programmed.lookups, programmed.unit_evaluations) == (12, 60, 7)


def test_every_method_is_a_search_of_the_same_budget():
    plan = PolicyPlan(device="d", evaluations=12)
    tasks = {method: plan.search_task(SPACE, method, seed=1) for method in POLICY_METHODS}
    assert {(one.evaluations, one.seed) for one in tasks.values()} == {(12, 1)}
    assert {method: one.precisions for method, one in tasks.items() if "uniform" in method} == {
        "uniform_w8a8": ("int8",),
        "uniform_fp32": ("fp32",),
    }
    assert {one.precisions for method, one in tasks.items() if "uniform" not in method} == {("fp32", "int8")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": ("joint", "other")}, "other"),
        ({"methods": ()}, "none"),
        ({"evaluations": 9}, "at least 10"),
        ({"seeds": ()}, "seed"),
    ],
)
def test_plans_that_cannot_be_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        PolicyPlan(device="d", **changes)


def test_spaces_without_policies_are_refused():
    with pytest.raises(UsageError, match="no int8"):
        PolicyPlan(device="d").search_task(get_space("nasbench201"), "joint", 0)


def test_wrong_words_on_the_line_are_one_sentence(hwnas, tmp_path):
    assert "uniform_int2" in hwnas.refused("bench", "policy", "--methods", "uniform_int2")
    assert "is a folder" in hwnas.refused("bench", "policy", "--out", tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("supernet")
def test_a_real_benchmark_of_all_methods_resumes(hwnas, tmp_path):
    command = ("bench", "policy", "--seeds", 1, "--evaluations", 10, "--finish-epochs", 0, "--scratch", tmp_path / "s")
    rows = hwnas.json(*command, "--out", tmp_path / "rows.json")
    assert [row["method"] for row in rows] == list(POLICY_METHODS)
    assert {row["evaluations"] for row in rows} == {10}
    assert all(row["test_hypervolume"] >= 0 and row["members"] > 0 for row in rows)
    by_method = {row["method"]: row for row in rows}
    assert by_method["uniform_fp32"]["quantized_members"] == 0
    assert by_method["uniform_w8a8"]["quantized_members"] == by_method["uniform_w8a8"]["members"]
    assert by_method["integer_programming"]["unit_evaluations"] > 0
    assert json.loads((tmp_path / "rows.json").read_text()) == rows
    assert hwnas.json(*command) == rows
