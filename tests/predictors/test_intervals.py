import numpy as np
import pytest

from predictors.intervals import conformal_quantile, left_out_coverage_pct, true_value_quantile


@pytest.mark.parametrize("count", [20, 50, 200])
def test_the_conformal_quantile_covers_what_it_promises(count):
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        scores = rng.standard_t(4, size=count + 1)
        covered.append(abs(scores[-1]) <= conformal_quantile(scores[:-1]))
    assert 0.86 < np.mean(covered) < 0.96


def test_too_few_scores_widen_beyond_the_largest():
    scores = np.array([0.1, -0.2, 0.3])
    assert conformal_quantile(scores) > 0.3


def test_left_out_coverage_of_equal_noise_is_near_nominal():
    scores = np.random.default_rng(1).standard_normal(200)
    assert 85 < left_out_coverage_pct(scores) < 95


def test_known_noise_is_taken_off_the_residuals():
    rng = np.random.default_rng(2)
    std, noise = rng.uniform(0.5, 2.0, 400), rng.uniform(0.5, 4.0, 400)
    error = std * rng.standard_normal(400)
    residuals = error + np.sqrt(noise) * rng.standard_normal(400)
    quantile = true_value_quantile(residuals, std, noise)
    assert 0.86 < np.mean(np.abs(error) <= quantile * std) < 0.94
    assert quantile < conformal_quantile(residuals / std)


def test_without_noise_the_quantile_is_the_conformal_one():
    rng = np.random.default_rng(3)
    residuals, std = rng.standard_normal(30), rng.uniform(0.5, 2.0, 30)
    expected = conformal_quantile(residuals / std)
    assert true_value_quantile(residuals, std, np.zeros(30)) == pytest.approx(expected)
    assert true_value_quantile(residuals, std, np.full(30, 1e-12)) == pytest.approx(expected, rel=1e-4)


def test_residuals_smaller_than_their_noise_do_not_prove_a_perfect_model():
    quantile = true_value_quantile(np.full(20, 0.01), np.ones(20), np.ones(20))
    assert 0.3 < quantile / 1.645 < 1.0
