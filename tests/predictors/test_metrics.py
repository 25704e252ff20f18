import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.metrics import AccuracyMetrics, LatencyMetrics, kendall_tau, mape_pct, spearman
from predictors.prediction import Prediction


def test_latency_metrics_by_hand():
    truth = np.array([1.0, 2.0, 4.0, 8.0])
    value = np.array([1.04, 2.0, 3.0, 8.7])
    found = LatencyMetrics.of(truth, Prediction(value=value, low=value * 0.9, high=value * 1.1))
    assert found.mape_pct == pytest.approx((4 + 0 + 25 + 8.75) / 4)
    assert found.within_5_pct == 50
    assert found.within_10_pct == 75
    assert found.coverage_90_pct == 75
    assert found.interval_width_pct == pytest.approx(20)
    assert found.spearman == pytest.approx(1)


def test_top_tenth_is_ranked_alone():
    truth = np.linspace(0.5, 0.9, 100)
    value = truth.copy()
    value[-10:] = value[-10:][::-1]
    found = AccuracyMetrics.of(truth, Prediction(value=value, low=value, high=value))
    assert found.top10_kendall_tau == pytest.approx(-1)
    assert found.kendall_tau > 0.97


def test_constant_sides_rank_as_nothing():
    constant, varied = np.ones(5), np.arange(5.0) + 1
    assert spearman(constant, varied) == kendall_tau(varied, constant) == 0


@given(st.lists(st.floats(0.1, 1e3), min_size=2, max_size=20), st.floats(0.5, 2))
def test_a_common_factor_is_the_error(values, factor):
    truth = np.array(values)
    assert mape_pct(truth, truth * factor) == pytest.approx(abs(factor - 1) * 100, abs=1e-6)
