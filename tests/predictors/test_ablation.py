from predictors.ablation import VARIANTS, run_ablation
from predictors.calibration_benchmark import CalibrationPlan
from tests.predictors.test_benchmarks import _table


def test_every_part_is_left_out_once():
    plan = CalibrationPlan(sources=("slow", "fast"), targets=("odd",), samples=(12,), seeds=(0,))
    rows = run_ablation([_table(60)], plan)
    assert [row.variant for row in rows] == list(VARIANTS)
    assert len({row.mape_pct for row in rows}) == len(VARIANTS)
    assert all(row.spearman > 0.5 for row in rows)
