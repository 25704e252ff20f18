import json

import pytest

from predictors.model_benchmark import CHOSEN, ModelPlan, run_models
from search_spaces.errors import UnknownNameError, UsageError
from tests.predictors.test_benchmarks import _table


def test_a_row_per_model_number_of_samples_and_seed():
    plan = ModelPlan(devices=("slow",), tasks=("top1",), samples=(10, 20, 5000), seeds=(0,))
    seen = []
    rows = run_models([_table(120)], plan, lambda row, total: seen.append((row, total)))
    assert seen == [(row, len(rows)) for row in rows]
    latency = [row for row in rows if row.quantity == "latency"]
    accuracy = [row for row in rows if row.quantity == "accuracy"]
    assert {row.model for row in latency} == {"trees", "gaussian_process", "ridge", "additive", "blend", CHOSEN}
    assert {row.model for row in accuracy} == {"trees", "gaussian_process", "ridge", CHOSEN}
    assert {row.samples for row in rows} == {10, 20}  # the table has no 5000
    assert len(latency) == 12
    assert len(accuracy) == 8
    assert all(row.mape_pct < 30 for row in latency)
    document = json.loads(json.dumps(latency[-1].as_json()))
    assert document["model"] == CHOSEN
    assert document["chosen"] not in {"", CHOSEN}


def test_refuses_what_no_table_has_and_empty_plans():
    with pytest.raises(UnknownNameError, match="pixel"):
        run_models([_table(60)], ModelPlan(devices=("pixel",), tasks=(), samples=(10,), seeds=(0,)))
    with pytest.raises(UsageError, match="at least one device or task"):
        ModelPlan(devices=(), tasks=(), samples=(10,), seeds=(0,))
    with pytest.raises(UsageError, match="3 samples are too few"):
        ModelPlan(devices=("slow",), tasks=(), samples=(3,), seeds=(0,))
