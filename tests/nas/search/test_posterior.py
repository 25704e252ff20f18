"""The accuracy posterior on simulated searches, where the true accuracies are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.search.pareto import non_dominated
from nas.search.posterior import AccuracyPosterior, AccuracyReadings, accuracy_posterior, finished_posterior
from predictors.prediction import Prediction
from search_spaces.errors import UsageError


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
    return cost, true, AccuracyReadings(accuracy=read, images=np.full(candidates, images)), prior


def integrated(value, predicted, reading, noise):
    """Mean and standard deviation of an accuracy by Bayes' rule on a grid.

    A predictor that has not seen the reading gives the reading's distribution: mean and standard deviation, of
    which ``noise`` is the reading's own.
    """
    before = np.sqrt(predicted**2 - noise**2)
    center, reach = (value + reading) / 2, abs(value - reading) / 2 + 8 * (before + noise)
    grid = np.linspace(center - reach, center + reach, 40_001)
    log_density = -0.5 * (((grid - value) / before) ** 2 + ((reading - grid) / noise) ** 2)
    density = np.exp(log_density - log_density.max())
    mean = (grid * density).sum() / density.sum()
    return mean, np.sqrt(((grid - mean) ** 2 * density).sum() / density.sum())


# Fewer than eight candidates, whose residuals do not correct the priors' widths; accuracies far from 0 and 1.
CANDIDATES = st.lists(
    st.tuples(st.floats(0.3, 0.7), st.floats(-0.2, 0.2), st.floats(1.05, 6.0), st.integers(100, 10_000)),
    min_size=1,
    max_size=7,
)


@given(CANDIDATES, st.floats(0.1, 1.0))
def test_it_is_bayes_rule(candidates, share):
    value, change, ratio, images = (np.array(column) for column in zip(*candidates, strict=True))
    noise = np.sqrt(share * value * (1 - value) / images)
    half = 1.645 * ratio * noise
    prior = Prediction(value=value, low=value - half, high=value + half)
    read = AccuracyReadings(accuracy=value + change, images=images)
    posterior = accuracy_posterior(prior, read, individual_share=share)
    for row, expected in enumerate(posterior.expected):
        mean, std = integrated(value[row], ratio[row] * noise[row], value[row] + change[row], noise[row])
        assert expected == pytest.approx(mean, abs=1e-6)
        assert posterior.individual_std[row] == pytest.approx(std, rel=1e-3)
        # Beside it: what all candidates share of the old images' noise, and the noise of as many new ones.
        shared = (1 - share) * value[row] * (1 - value[row]) / images[row]
        new = mean * (1 - mean) / images[row]
        assert posterior.total_std[row] == pytest.approx(np.sqrt(std**2 + shared + new), rel=1e-3)


@pytest.mark.parametrize("name", ["value", "low", "high", "reading"])
def test_nan_is_refused(name):
    columns = {one: np.full(3, 0.5) for one in ("value", "low", "high", "reading")}
    columns[name][1] = np.nan
    readings = AccuracyReadings(accuracy=columns.pop("reading"), images=np.full(3, 100))
    with pytest.raises(UsageError, match="row 1"):
        accuracy_posterior(Prediction(**columns), readings)


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
    posterior = accuracy_posterior(
        prior, AccuracyReadings(accuracy=np.array([0.7, 0.8]), images=np.zeros(2, dtype=np.int64))
    )
    assert posterior.expected == pytest.approx([0.7, 0.8])
    assert posterior.total_std == pytest.approx([0.0, 0.0], abs=1e-9)


def known(expected):
    """Inherited accuracies that are known exactly."""
    return AccuracyPosterior(
        expected=expected, individual_std=np.zeros(len(expected)), total_std=np.zeros(len(expected))
    )


@pytest.mark.parametrize("count", [6, 12, 20])
def test_finished_readings_are_drawn_towards_what_finishing_did_to_the_others(count):
    rng = np.random.default_rng(3)
    by_posterior, by_reading, inside = [], [], []
    for _ in range(300):
        inherited = rng.uniform(0.78, 0.86, count)
        true = 0.86 + 0.3 * (inherited - 0.86) + rng.normal(0, 0.002, count)
        images = np.full(count, 2400)
        own = np.sqrt(0.27 * true * (1 - true) / images)
        readings = AccuracyReadings(accuracy=true + own * rng.normal(size=count), images=images)
        posterior = finished_posterior(known(inherited), readings)
        best = int(np.argmax(posterior.expected))
        by_posterior.append(posterior.expected[best] - true[best])
        luckiest = int(np.argmax(readings.accuracy))
        by_reading.append(readings.accuracy[luckiest] - true[luckiest])
        test = rng.binomial(3000, true) / 3000
        inside += ((posterior.low <= test) & (test <= posterior.high)).tolist()
    assert abs(np.mean(by_posterior)) < 0.0015
    assert abs(np.mean(by_posterior)) < np.mean(by_reading)
    assert 0.85 <= np.mean(inside) <= 0.99


def test_a_single_finished_network_is_believed_its_reading():
    reading = AccuracyReadings(accuracy=np.array([0.84]), images=np.array([2400]))
    posterior = finished_posterior(known(np.array([0.80])), reading)
    assert posterior.expected == pytest.approx([0.84])
    assert posterior.low[0] < 0.84 < posterior.high[0]


def test_networks_that_inherit_alike_share_a_mean_gain():
    readings = AccuracyReadings(accuracy=np.array([0.84, 0.85, 0.83, 0.84]), images=np.full(4, 2400))
    posterior = finished_posterior(known(np.full(4, 0.80)), readings)
    assert np.ptp(posterior.expected) < 0.02
    assert posterior.expected.mean() == pytest.approx(0.84, abs=1e-3)
