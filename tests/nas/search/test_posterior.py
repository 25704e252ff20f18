"""The accuracy posterior on simulated searches, where the true accuracies are known."""

import numpy as np
import pytest

from nas.search.pareto import non_dominated
from nas.search.posterior import Readings, accuracy_posterior
from predictors.prediction import Prediction


def simulated(rng, *, predictor_error, share, images=1000, candidates=80):
    """True accuracies, readings and left-out predictions of them; readings' errors are correlated by ``1 - share``."""
    cost = rng.random(candidates)
    true = 0.80 + 0.08 * np.sqrt(cost) + rng.normal(0, predictor_error, candidates)
    noise = np.sqrt(true * (1 - true) / images)
    shared = rng.normal()
    read = true + noise * (np.sqrt(1 - share) * shared + np.sqrt(share) * rng.normal(size=candidates))
    value = 0.80 + 0.08 * np.sqrt(cost) + (noise * np.sqrt(1 - share) * shared)
    half = 1.645 * np.sqrt(predictor_error**2 + share * noise**2)
    prior = Prediction(value=value, low=value - half, high=value + half)
    return cost, true, Readings(accuracy=read, images=np.full(candidates, images)), prior


@pytest.mark.parametrize("predictor_error", [0.003, 0.006, 0.012])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_the_front_by_posterior_is_not_optimistic_and_its_intervals_hold(predictor_error, share):
    rng = np.random.default_rng(7)
    shown, by_reading, inside = [], [], []
    for _ in range(150):
        cost, true, readings, prior = simulated(rng, predictor_error=predictor_error, share=share)
        posterior = accuracy_posterior(prior, readings, individual_share=share)
        front = non_dominated(np.stack([cost, -posterior.expected], axis=1))
        reading_front = non_dominated(np.stack([cost, -readings.accuracy], axis=1))
        test = rng.binomial(1500, true) / 1500
        shown.append((posterior.expected - test)[front].mean())
        by_reading.append((readings.accuracy - test)[reading_front].mean())
        inside += ((posterior.low <= test) & (test <= posterior.high))[front].tolist()
    assert abs(np.mean(shown)) < 0.002
    assert np.mean(by_reading) > 2 * abs(np.mean(shown))
    assert 0.80 <= np.mean(inside) <= 0.97


@pytest.mark.parametrize("predictor_error", [0.004, 0.010])
def test_nine_of_ten_reach_their_guaranteed_accuracy(predictor_error):
    rng = np.random.default_rng(11)
    kept = []
    for _ in range(150):
        _, true, readings, prior = simulated(rng, predictor_error=predictor_error, share=0.27)
        kept += (accuracy_posterior(prior, readings).guaranteed <= rng.binomial(1500, true) / 1500).tolist()
    assert np.mean(kept) >= 0.9


def test_exact_figures_stay_as_they_are():
    prior = Prediction(value=np.array([0.5, 0.6]), low=np.array([0.4, 0.5]), high=np.array([0.6, 0.7]))
    posterior = accuracy_posterior(prior, Readings(accuracy=np.array([0.7, 0.8]), images=np.zeros(2, dtype=np.int64)))
    assert posterior.expected == pytest.approx([0.7, 0.8])
    assert posterior.total_std == pytest.approx([0.0, 0.0], abs=1e-9)
