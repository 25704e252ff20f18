"""The search benchmark on a small table whose figures follow from cost facts."""

import numpy as np
import pytest

from hw_profiles.measurement_table import MeasurementTable
from nas.workflows.search_benchmark import SearchBenchmarkPlan, evaluations_to, run_search_benchmark
from search_spaces.errors import UsageError
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space

SPACE = get_space("mnasnet")


@pytest.fixture(scope="module")
def table():
    rows = np.unique(SPACE.sample(70, np.random.default_rng(0)), axis=0)
    macs = CostFacts(SPACE).column("macs", rows)
    wobble = np.random.default_rng(1).normal(0, 0.3, len(rows))
    return MeasurementTable(
        space="mnasnet",
        archs=tuple(SPACE.to_strings(rows)),
        latency_ms={"d": macs / 1e8},
        accuracy={"t": 60 + 5 * np.log(macs / macs.min()) + wobble},
    )


@pytest.mark.parametrize("method", ["random", "nsga2", "tpe"])
def test_the_whole_table_is_the_whole_hypervolume(table, method):
    plan = SearchBenchmarkPlan(latency="d", accuracy="t", methods=(method,), budget=len(table), batch=10, seeds=(0,))
    rows = run_search_benchmark(table, plan)
    fractions = [row.hypervolume_fraction for row in rows]
    assert fractions == sorted(fractions)
    assert rows[-1].evaluations == len(table)
    assert fractions[-1] == pytest.approx(1.0)
    assert 0 < evaluations_to(rows, 0.95)[method, 0] <= len(table)


def test_guided_methods_evaluate_rows_of_the_table_alone(table):
    plan = SearchBenchmarkPlan(latency="d", accuracy="t", methods=("hwnas", "linas"), budget=20, batch=10, seeds=(0,))
    rows = run_search_benchmark(table, plan)
    assert [(row.method, row.evaluations) for row in rows] == [
        ("hwnas", 10),
        ("hwnas", 20),
        ("linas", 10),
        ("linas", 20),
    ]


def test_unknown_methods_and_columns_are_named(table):
    with pytest.raises(UsageError, match="grid"):
        SearchBenchmarkPlan(latency="d", accuracy="t", methods=("grid",))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="x"):
        run_search_benchmark(table, SearchBenchmarkPlan(latency="x", accuracy="t", methods=("random",)))
