import numpy as np
from scipy import stats

from predictors.reading_noise import binomial_variance


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
