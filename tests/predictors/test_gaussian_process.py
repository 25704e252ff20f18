import numpy as np
from scipy.linalg import lapack

from predictors.features import Features
from predictors.gaussian_process import GaussianProcessEstimator, Term, _inverse
from predictors.regression import Readings


def _features(columns):
    none = np.zeros((len(columns), 0))
    return Features(encoding=columns, facts=none, sources=none, loads=none, policy=none, source_loads=none)


def test_the_inverse_is_that_of_the_factored_matrix():
    root = np.random.default_rng(0).standard_normal((30, 40))
    matrix = root @ root.T
    factor, failed = lapack.dpotrf(matrix, lower=True)
    assert not failed
    assert np.allclose(_inverse(factor), np.linalg.inv(matrix), rtol=1e-9, atol=1e-12)


def test_leave_one_out_residuals_and_deviations_are_those_of_refits():
    """Readings with noise of their own; the oracle conditions anew without each sample."""
    rng = np.random.default_rng(1)
    x, noise = rng.standard_normal((15, 3)), rng.uniform(0.01, 0.5, 15)
    readings = Readings(values=x @ np.ones(3) + np.sqrt(noise) * rng.standard_normal(15), noise=noise)
    estimator = GaussianProcessEstimator(name="process", terms=(Term(block="encoding", kind="radial", variance=1.0),))
    features, parameters = _features(x), np.log([1.0, 1.5, 0.05])
    fitted = estimator.condition(features, readings, parameters)
    mean, scale = readings.values.mean(), readings.values.std()
    squares = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    covariance = 1.0 + np.exp(-0.5 * squares / 1.5**2)
    noisy = covariance + np.diag(0.05 + 1e-8 + noise / scale**2)
    scaled = (readings.values - mean) / scale
    for row in range(15):
        kept = np.delete(np.arange(15), row)
        gain = np.linalg.solve(noisy[np.ix_(kept, kept)], covariance[kept, row])
        assert np.isclose(fitted.loo.residuals[row], scale * (scaled[row] - gain @ scaled[kept]))
        variance = covariance[row, row] - gain @ covariance[kept, row] + 0.05 + 1e-8
        assert np.isclose(fitted.loo.std[row], scale * np.sqrt(variance))


def test_noisy_readings_weigh_less():
    x = np.array([[0.0], [0.0], [1.0], [1.0], [2.0]])
    estimator = GaussianProcessEstimator(name="process", terms=(Term(block="encoding", kind="radial", variance=1.0),))
    values = np.array([0.0, 1.0, 0.2, 0.8, 0.5])
    features = _features(x)
    even = estimator.condition(features, Readings.exact(values), np.log([1.0, 1.0, 0.05]))
    noise = np.array([0.0, 10.0, 0.0, 0.0, 0.0])
    weighted = estimator.condition(features, Readings(values=values, noise=noise), np.log([1.0, 1.0, 0.05]))
    asked = _features(np.array([[0.0]]))
    assert abs(weighted.predict(asked)[0]) < abs(even.predict(asked)[0])
    assert weighted.std(asked)[0] > even.std(asked)[0]
