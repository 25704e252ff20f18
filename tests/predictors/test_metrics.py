import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.metrics import (
    AccuracyMetrics,
    LatencyMetrics,
    LimitAnswers,
    kendall_tau,
    mape_pct,
    oracle_width_pct,
    spearman,
    typical_error,
)
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


def test_the_oracle_knows_the_narrowest_interval():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 9, 2000)
    value = truth * np.exp(rng.normal(0, 0.05, 2000))
    width = oracle_width_pct(truth, value)
    half = np.arcsinh(width / 200)
    inside = np.abs(np.log(truth / value)) <= half
    assert inside.mean() == pytest.approx(0.9, abs=1e-3)
    assert width == pytest.approx(200 * 1.645 * 0.05, rel=0.1)


def test_limits_are_answered_by_the_slowest_network_that_surely_keeps_them():
    truth = np.linspace(1.0, 2.0, 101)
    sure = Prediction(value=truth, low=truth * 0.99, high=truth * 1.01)
    assert LimitAnswers.compute(truth, sure).held_pct == 100
    assert 0 < LimitAnswers.compute(truth, sure).unused_pct < 2
    reckless = Prediction(value=truth * 0.9, low=truth * 0.85, high=truth * 0.9)
    assert LimitAnswers.compute(truth, reckless).held_pct < 10
    useless = Prediction(value=truth, low=truth * 0.1, high=truth * 10)
    assert LimitAnswers.compute(truth, useless) == LimitAnswers(held_pct=100.0, unused_pct=100.0)


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


def test_the_typical_error_lies_between_mean_and_root_mean_square():
    residuals = np.random.default_rng(2).standard_normal(100)
    assert np.mean(np.abs(residuals)) < typical_error(residuals) < np.sqrt(np.mean(residuals**2)) + 1e-3
