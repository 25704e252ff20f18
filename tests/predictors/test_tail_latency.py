import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from predictors.errors import UnfitDataError
from predictors.prediction import Prediction
from predictors.tail_latency import TailLatency, _robust_line

P50_STD = 0.05


def _networks(count, rng):
    return np.exp(rng.normal(-1.5, 0.7, count))


def _skewed(p50_ms, rng):
    return rng.gamma(2, 0.04, len(p50_ms)) + 0.01


def _short_networks_suffer(p50_ms, rng):
    return np.maximum(0.15 - 0.08 * (np.log(p50_ms) + 1.5), 0) + rng.gamma(2, 0.01, len(p50_ms))


def _interrupted_once_in_twenty(p50_ms, rng):
    return np.where(rng.random(len(p50_ms)) < 0.05, 1.0, 0.05) + rng.gamma(2, 0.01, len(p50_ms))


def _predicted(p50_ms, rng):
    """Predictions with an error whose intervals are right."""
    log_ms = np.log(p50_ms) + P50_STD * rng.standard_normal(len(p50_ms))
    half = 1.645 * P50_STD
    return Prediction(value=np.exp(log_ms), low=np.exp(log_ms - half), high=np.exp(log_ms + half))


@pytest.mark.parametrize("law", [_skewed, _short_networks_suffer, _interrupted_once_in_twenty])
@pytest.mark.parametrize("count", [4, 15, 60])
def test_intervals_cover_fresh_networks(law, count):
    inside, kept = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        p50_ms, fresh_ms = _networks(count, rng), _networks(200, rng)
        tail = TailLatency.fit(p50_ms, p50_ms * np.exp(law(p50_ms, rng)))
        truth = fresh_ms * np.exp(law(fresh_ms, rng))
        found = tail.predict(_predicted(fresh_ms, rng))
        inside.append(np.mean((found.low <= truth) & (truth <= found.high)))
        kept.append(np.mean(truth <= found.high))
    assert 0.86 < np.mean(inside) < 0.98
    assert np.mean(kept) > 0.9


def test_one_stalled_reading_does_not_move_the_others():
    rng = np.random.default_rng(0)
    p50_ms = _networks(20, rng)
    ratios = 1.05 + 0.01 * rng.random(20)
    ratios[7] = 4.0
    expected = np.exp(TailLatency.fit(p50_ms, p50_ms * ratios).log_ratio(p50_ms))
    assert np.all(np.abs(expected - 1.055) < 0.02)


def test_leave_one_out_residuals_are_those_of_refits():
    """The oracle solves the weighted least squares anew without each sample."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=12), 0.1 + 0.02 * rng.standard_t(4, 12)
    columns = np.column_stack([np.ones(12), x])
    _, residuals, std = _robust_line(columns, y)
    # At convergence the weights follow from the residuals.
    weights = np.minimum(1.0, 5.0 / (4.0 + (residuals / std) ** 2))
    prior, precision = np.array([0.05, 0.0]), np.diag([2.0, (std / 0.05) ** 2])
    for row in range(12):
        kept = np.delete(np.arange(12), row)
        rows, w = columns[kept], weights[kept]
        gram = (rows * w[:, None]).T @ rows + precision
        fitted = prior + np.linalg.solve(gram, rows.T @ (w * (y[kept] - rows @ prior)))
        assert residuals[row] == pytest.approx(y[row] - columns[row] @ fitted, abs=0.1 * std)


@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(1, 3)), min_size=1, max_size=30), st.integers(0, 1000))
@example([(1.0, 1.0), (1.0, 1.0), (14.0, 2.0)], 172)
def test_p95_is_never_below_p50_and_intervals_hold_their_value(samples, seed):
    p50_ms = np.array([p50 for p50, _ in samples])
    tail = TailLatency.fit(p50_ms, p50_ms * np.array([ratio for _, ratio in samples]))
    rng = np.random.default_rng(seed)
    p50 = _predicted(_networks(20, rng), rng)
    p95 = tail.predict(p50)
    assert np.all(p95.value >= p50.value)
    assert np.all((p95.low <= p95.value) & (p95.value <= p95.high))
    assert np.all((p95.low >= p50.low) & (p95.high >= p50.high))
    assert np.isfinite(p95.high).all()


@pytest.mark.parametrize(
    ("p50_ms", "p95_ms", "message"),
    [
        ([], [], "one of each per network"),
        ([1.0, 2.0], [1.0], "one of each per network"),
        ([1.0, 2.0], [1.0, 1.9], "sample 2"),
        ([1.0, np.nan], [1.0, 1.9], "sample 2"),
        ([0.0], [1.0], "sample 1"),
    ],
)
def test_refuses_what_are_no_percentiles(p50_ms, p95_ms, message):
    with pytest.raises(UnfitDataError, match=message):
        TailLatency.fit(np.array(p50_ms), np.array(p95_ms))
