import numpy as np
import pytest

from predictors.boosting import TreeSettings
from predictors.features import Features
from predictors.intervals import conformal_quantile, held_out_coverage_pct, true_value_quantile
from predictors.metrics import typical_error
from predictors.regression import LooResiduals, Readings
from predictors.ridge import RidgeEstimator
from predictors.selection import CrossValidation, select


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


LAWS = {
    "even": lambda x, rng: 0.3 * rng.standard_normal(len(x)),
    "heavy tails": lambda x, rng: 0.1 * rng.standard_t(1.5, len(x)),
    "uneven": lambda x, rng: 0.3 * np.exp(1.5 * x[:, 0]) * rng.standard_normal(len(x)),
    "outliers": lambda x, rng: np.where(rng.random(len(x)) < 0.12, 3.0, 0.1) * rng.choice([-1, 1], len(x)),
}


def _features(columns):
    none = np.zeros((len(columns), 0))
    return Features(encoding=columns, facts=none, sources=none, loads=none, policy=none, source_loads=none)


def _conformal(left_out):
    return conformal_quantile(left_out.residuals / left_out.std)


def _twice_the_typical(left_out):
    return 2.0 * typical_error(left_out.residuals / left_out.std)


def _held_out_and_true_coverage(law, quantile, seeds=60, count=24):
    """Coverage in percent as cross-validation estimates it, and on fresh samples, shape ``(seeds,)`` each."""
    estimated, true = [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((count + 300, 4))
        y = x @ np.array([1.0, 0.5, -0.5, 0.2]) + LAWS[law](x, rng)
        validation = CrossValidation(_features(x[:count]), Readings.exact(y[:count]), seed)
        found = select(
            [RidgeEstimator()], TreeSettings(), validation, losses=lambda a, b: np.abs(a - b), error_unit="error"
        )
        estimated.append(held_out_coverage_pct(found.folds, quantile))
        left_out = LooResiduals(residuals=y[:count] - found.out_of_fold, std=found.out_of_fold_std)
        errors = np.abs(y[count:] - found.fitted.predict(_features(x[count:])))
        true.append(np.mean(errors <= quantile(left_out)) * 100)
    return np.array(estimated), np.array(true)


@pytest.mark.parametrize("quantile", [_conformal, _twice_the_typical])
@pytest.mark.parametrize("law", LAWS)
def test_held_out_coverage_is_that_of_fresh_samples_and_follows_the_data(law, quantile):
    estimated, true = _held_out_and_true_coverage(law, quantile)
    assert estimated.mean() == pytest.approx(true.mean(), abs=5)
    assert len(np.unique(estimated)) > 2


def test_held_out_coverage_differs_between_laws():
    estimated = {law: _held_out_and_true_coverage(law, _twice_the_typical, seeds=30)[0].mean() for law in LAWS}
    assert max(estimated.values()) - min(estimated.values()) > 2


def test_an_interval_is_never_narrower_than_the_least():
    law = LAWS["even"]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((24, 4))
    validation = CrossValidation(_features(x), Readings.exact(x[:, 0] + law(x, rng)), 0)
    found = select(
        [RidgeEstimator()], TreeSettings(), validation, losses=lambda a, b: np.abs(a - b), error_unit="error"
    )
    assert held_out_coverage_pct(found.folds, lambda _: 0.0) == 0
    assert held_out_coverage_pct(found.folds, lambda _: 0.0, least=10.0) == 100


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
