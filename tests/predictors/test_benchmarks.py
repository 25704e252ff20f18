import json

import numpy as np
import pytest

from hw_profiles.measurement_table import MeasurementTable, TableError
from predictors.accuracy_benchmark import run_accuracies
from predictors.benchmark_tables import join_tables, split_rows
from predictors.calibration_benchmark import CalibrationPlan, run_calibrations
from search_spaces.errors import UnknownNameError, UsageError, quoted
from search_spaces.registry import get_space
from tests.predictors.synthetic import device_latency_ms, task_accuracy

SPACE = get_space("mobilenet_v3:tiny")


def _table(count=400, **columns):
    rng = np.random.default_rng(0)
    genotypes = np.unique(SPACE.with_policy(SPACE.sample(count, rng), "fp32"), axis=0)
    laws = {"slow": {"noise": 0.01}, "fast": {"noise": 0.02}, "odd": {"noise": 0.05}}
    return MeasurementTable(
        space=SPACE.name,
        archs=tuple(SPACE.to_strings(genotypes)),
        latency_ms={name: device_latency_ms(SPACE, genotypes, rng, **law) for name, law in laws.items()}
        | {name: np.full(len(genotypes), value) for name, value in columns.items()},
        accuracy={"top1": task_accuracy(SPACE, genotypes, rng) * 100},
    )


def _plan(sources, targets, samples=(10,), seeds=(0,)):
    return CalibrationPlan(sources=sources, targets=targets, samples=samples, seeds=seeds)


def test_the_split_is_seeded_and_holds_out_forty_percent():
    learn, held_out = split_rows(101, 3)
    assert len(held_out) == 40
    assert sorted([*learn.tolist(), *held_out.tolist()]) == list(range(101))
    assert not np.array_equal(split_rows(101, 4)[1], held_out)


def test_a_row_a_target_sample_count_and_seed():
    seen = []
    rows = run_calibrations([_table()], _plan(("slow", "fast"), ("odd",), (10, 20), (0, 1)), seen.append)
    assert seen == rows
    assert [(r.target, r.samples, r.seed) for r in rows] == [
        ("odd", 10, 0),
        ("odd", 20, 0),
        ("odd", 10, 1),
        ("odd", 20, 1),
    ]
    document = json.loads(json.dumps(rows[0].as_json()))
    wanted = "spearman kendall_tau mape_pct within_5_pct within_10_pct coverage_90_pct interval_width_pct seconds"
    assert set(wanted.split()) <= set(document)
    assert document["spearman"] > 0.9
    assert document["sources"] == 2


def test_the_held_out_rows_teach_nothing():
    table = _table()
    plan = _plan(("slow",), ("odd",), (20,))
    _, held_out = split_rows(len(table), 0)
    spoiled = {name: column.copy() for name, column in table.latency_ms.items()}
    for column in spoiled.values():
        column[held_out] *= np.random.default_rng(1).uniform(0.2, 5.0, len(held_out))
    changed = MeasurementTable(space=table.space, archs=table.archs, latency_ms=spoiled, accuracy={})
    one, other = (run_calibrations([t], plan)[0] for t in (table, changed))
    assert one.expected_mape_pct == other.expected_mape_pct
    assert one.form == other.form
    assert one.metrics.interval_width_pct == pytest.approx(other.metrics.interval_width_pct)


def test_more_samples_than_rows_use_all_and_say_so():
    row = run_calibrations([_table(60)], _plan((), ("slow",), (500,)))[0]
    assert row.samples == 500
    assert row.samples_used < 60
    assert row.sources == 0


def test_a_target_is_never_its_own_source():
    assert run_calibrations([_table(60)], _plan(("slow",), ("slow",)))[0].sources == 0


def test_sources_may_come_from_another_table_of_the_space():
    table = _table()
    parts = [
        MeasurementTable(space=table.space, archs=table.archs, latency_ms={name: table.latency_ms[name]}, accuracy={})
        for name in ("slow", "odd")
    ]
    joined, apart = (run_calibrations(tables, _plan(("slow",), ("odd",)))[0] for tables in ([table], parts))
    assert joined.metrics == apart.metrics
    doubled = {name: column * 2 for name, column in table.latency_ms.items()}
    slower = MeasurementTable(space=table.space, archs=table.archs, latency_ms=doubled, accuracy={})
    values = f"{table.latency_ms['slow'][0]} and {doubled['slow'][0]}"
    with pytest.raises(UsageError, match="give each measurement once") as refused:
        join_tables([table, slower])
    assert f"'slow' for the same row, {quoted(table.archs[0])}: {values};" in str(refused.value)
    (again,) = join_tables([table, table])
    assert again.table.to_csv() == table.to_csv()


@pytest.mark.parametrize(
    ("plan", "error", "message"),
    [
        (lambda: _plan(("nobody",), ("odd",)), UnknownNameError, "unknown device 'nobody'"),
        (lambda: _plan((), ()), UsageError, "at least one target"),
        (lambda: _plan((), ("odd",), (2,)), UsageError, "2 samples are too few"),
        (lambda: _plan((), ("flat",)), UsageError, "target 'flat' with 10 samples: .*same latencies"),
        (lambda: _plan(("flat",), ("odd",)), UsageError, "source 'flat': .*same latencies"),
        (lambda: _plan((), ("empty",)), UsageError, "'empty' has 0 rows"),
    ],
)
def test_what_cannot_be_run_is_one_sentence(plan, error, message):
    with pytest.raises(error, match=message):
        run_calibrations([_table(60, flat=3.0, empty=np.nan)], plan())


def test_a_string_that_does_not_parse_names_its_row():
    table = _table(20)
    broken = MeasurementTable(
        space=table.space, archs=(*table.archs[:-1], "e=9"), latency_ms=table.latency_ms, accuracy={}
    )
    with pytest.raises(TableError, match=f"row {len(table)}: "):
        run_calibrations([broken], _plan((), ("odd",)))


def test_accuracy_rows():
    rows = run_accuracies([_table()], "top1", [30, 350], [0])
    assert [row.train_size for row in rows] == [30, 350]
    assert rows[0].metrics.kendall_tau > 0.6
    assert rows[1].metrics.n == len(_table()) - 350
    assert {"kendall_tau", "spearman", "r2", "rmse", "top10_kendall_tau"} <= set(rows[0].as_json())
    assert rows[0].metrics.rmse < 0.02


def test_accuracy_of_what_is_not_there():
    with pytest.raises(UnknownNameError, match="top1"):
        run_accuracies([_table(60)], "top5", [10], [0])
    with pytest.raises(UsageError, match="3 rows are too few"):
        run_accuracies([_table(60)], "top1", [3], [0])
