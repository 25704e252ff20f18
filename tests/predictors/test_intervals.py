import numpy as np
import pytest

from predictors.intervals import conformal_quantile, left_out_coverage_pct


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
