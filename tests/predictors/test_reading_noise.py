import numpy as np
import pytest
from scipy import stats

from predictors.errors import UnfitDataError
from predictors.reading_noise import binomial_variance, interval_90


def test_the_variance_is_that_of_a_binomial_share():
    rng = np.random.default_rng(0)
    readings = rng.binomial(500, 0.83, size=20000) / 500
    assert np.isclose(binomial_variance(readings, np.full(20000, 500)).mean(), readings.var(), rtol=0.05)
    assert np.isclose(
        binomial_variance(np.array([0.83]), np.array([500]))[0], stats.binom(500, 0.83).var() / 500**2, rtol=0.01
    )


def test_no_image_wrong_is_no_certainty():
    found = binomial_variance(np.array([0.0, 1.0]), np.array([20, 20]))
    assert np.all(found > 0.0005)
    assert np.isclose(found[0], found[1])


def test_the_interval_holds_nine_of_ten_true_accuracies():
    rng = np.random.default_rng(1)
    truth = rng.uniform(0.6, 0.95, size=2000)
    intervals = [interval_90(k / 400, 400) for k in rng.binomial(400, truth)]
    inside = np.mean([low <= one <= high for one, (low, high) in zip(truth, intervals, strict=True)])
    assert 0.88 < inside < 0.92


def test_the_interval_is_open_at_the_ends_alone():
    assert interval_90(0.0, 20)[0] == 0.0
    assert interval_90(1.0, 20)[1] == 1.0
    low, high = interval_90(0.85, 3000)
    assert np.allclose((low, high), 0.85 + np.array([-1.645, 1.645]) * np.sqrt(0.85 * 0.15 / 3000), atol=5e-4)


@pytest.mark.parametrize(("accuracy", "images"), [(float("nan"), 10), (1.1, 10), (0.5, 0)])
def test_an_interval_of_no_reading_is_refused(accuracy, images):
    with pytest.raises(UnfitDataError, match="a reading of"):
        interval_90(accuracy, images)
