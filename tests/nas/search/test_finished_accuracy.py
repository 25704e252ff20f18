"""What a few finished networks tell of the others, and that a search goes by it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.metrics import Objectives
from nas.search.finished_accuracy import PILOTS, FinishedAccuracy, FinishedAccuracyPredictor, pilot_networks
from nas.search.pareto import hypervolume
from predictors.prediction import Prediction
from search_spaces.facts import CostFacts
from tests.nas.search.test_loop import FITS, SPACE, Landscape, Rows, search, settings

FACTS = CostFacts(SPACE)
NETWORKS = pilot_networks(SPACE)
LOG_MACS = np.log(FACTS.column("macs", NETWORKS))
OTHERS = SPACE.sample_spread(200, np.random.default_rng(3))


def readings(seed=0):
    return 0.8 + 0.02 * np.random.default_rng(seed).standard_normal(len(NETWORKS))


def fitted(inherited, finished):
    found = FinishedAccuracy.fit(SPACE, NETWORKS, inherited, finished)
    assert found is not None
    return found


def test_pilots_are_float_networks_of_all_sizes_and_always_the_same():
    assert 4 <= len(NETWORKS) <= PILOTS
    assert np.array_equal(NETWORKS, SPACE.unquantized(NETWORKS))
    assert np.array_equal(NETWORKS, pilot_networks(SPACE))
    assert np.ptp(LOG_MACS) > 1


def test_slopes_are_found_and_shrunk_towards_equal_gains():
    inherited = readings()
    finished = 0.3 + 0.5 * inherited + 0.03 * (LOG_MACS - LOG_MACS.mean())
    found = fitted(inherited, finished)
    assert 0.5 < found.slopes[0] < 0.6
    assert 0.025 < found.slopes[1] < 0.03
    assert found.of(NETWORKS, inherited).mean() == pytest.approx(finished.mean())
    assert 0 < found.std < finished.std()
    alike = fitted(inherited, inherited + 0.02)
    assert alike.slopes == pytest.approx([1.0, 0.0])
    assert alike.of(OTHERS, np.full(len(OTHERS), 0.7)) == pytest.approx(0.72)


@given(st.integers(0, 1000), st.floats(-2, 2), st.floats(-0.1, 0.1))
def test_more_inherited_accuracy_and_more_macs_never_lower_the_expectation(seed, slope, per_macs):
    inherited = readings(seed)
    found = fitted(inherited, 0.8 + slope * (inherited - 0.8) + per_macs * (LOG_MACS - LOG_MACS.mean()))
    assert (found.slopes >= 0).all()
    order = np.argsort(FACTS.column("macs", OTHERS), kind="stable")
    expected = found.of(OTHERS[order], np.full(len(OTHERS), 0.8))
    assert (np.diff(expected) >= 0).all()
    assert (found.of(OTHERS, np.full(len(OTHERS), 0.9)) >= found.of(OTHERS, np.full(len(OTHERS), 0.7))).all()
    assert ((expected >= 0) & (expected <= 1)).all()


def test_equal_pilots_tell_their_mean():
    found = fitted(np.full(len(NETWORKS), 0.5), np.full(len(NETWORKS), 0.7))
    assert found.of(OTHERS, np.full(len(OTHERS), 0.5)) == pytest.approx(0.7)
    assert found.std == pytest.approx(0)


def test_few_pilots_tell_nothing():
    assert FinishedAccuracy.fit(SPACE, NETWORKS[:3], readings()[:3], readings()[:3]) is None


def test_intervals_hold_what_pilots_miss_and_what_is_uncertain_before():
    inherited = readings()
    found = fitted(inherited, inherited + 0.01 * np.random.default_rng(1).standard_normal(len(NETWORKS)))

    class Certain:
        def predict(self, genotypes):
            value = np.full(len(genotypes), 0.8)
            return Prediction(value=value, low=value - self.half, high=value + self.half)

        half = 0.0

    known = FinishedAccuracyPredictor(inherited=Certain(), finished=found).predict(OTHERS)
    assert known.high - known.value == pytest.approx(1.645 * found.std)
    vague = Certain()
    vague.half = 0.1
    wider = FinishedAccuracyPredictor(inherited=vague, finished=found).predict(OTHERS)
    assert wider.value == pytest.approx(known.value)
    assert wider.value - wider.low == pytest.approx(np.hypot(0.1 * found.slopes[0], 1.645 * found.std))


class Inherited(Landscape):
    """Accuracies before finishing mislead: small networks, which the smallest one trains along, inherit more."""

    def evaluate(self, genotypes):
        before = 0.85 - 0.005 * np.log10(FACTS.column("macs", genotypes))
        return [
            replace(outcome, metrics=dict(outcome.metrics) | {"accuracy": float(accuracy)})
            for outcome, accuracy in zip(super().evaluate(genotypes), before, strict=True)
        ]


def test_a_search_goes_by_what_networks_become():
    def volume(fits, seed):
        result = search(Inherited(), Rows(), fits, settings(seed=seed))
        shipped = Landscape().evaluate(result.genotypes)
        names = Objectives().names
        points = Objectives().losses({name: np.array([one.metrics[name] for one in shipped]) for name in names})
        return hypervolume(points, np.array([0.0, 1.0]))

    def accuracies(landscape):
        return np.array([outcome.accuracy_val for outcome in landscape.evaluate(NETWORKS)])

    informed = replace(FITS, finished=fitted(accuracies(Inherited()), accuracies(Landscape())))
    gains = [volume(informed, seed) - volume(FITS, seed) for seed in (1, 2, 3)]
    assert min(gains) > 0, gains
