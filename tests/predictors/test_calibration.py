import numpy as np
import pytest

from predictors.calibration import CalibrationSettings, TargetDevice, calibrate, choose_samples, network_size
from predictors.errors import UnfitDataError
from predictors.features import FeatureExtractor
from predictors.latency import LatencyPredictor
from predictors.metrics import LatencyMetrics
from predictors.sources import SourceFeatures, SourceModel
from search_spaces.registry import get_space
from tests.predictors.synthetic import device_latency_ms

SPACE = get_space("mobilenet_v3:tiny")
POPULATION = SPACE.sample(600, np.random.default_rng(0))


class Device:
    """A device that measures by a known law and counts what it was asked."""

    def __init__(self, *, failing=0, **law):
        self.law, self.failing, self.asked = law, failing, []

    def measure(self, genotypes):
        self.asked.extend(map(tuple, genotypes.tolist()))
        values = device_latency_ms(SPACE, genotypes, np.random.default_rng(len(self.asked)), **self.law)
        values[: self.failing] = np.nan
        return values


@pytest.fixture(scope="module")
def sources():
    rng = np.random.default_rng(1)
    shared = SourceFeatures(SPACE)
    laws = ({"integer_speedup": 0.7}, {"integer_speedup": 1.5}, {"integer_speedup": 4.0})
    rows = SPACE.sample(300, rng)
    return tuple(
        SourceModel.fit(SPACE, rows, device_latency_ms(SPACE, rows, rng, **law), seed=1, features=shared)
        for law in laws
    )


def test_the_smallest_and_largest_come_first_and_nothing_twice():
    features = FeatureExtractor(SPACE).encode(POPULATION)
    chosen = choose_samples(features, 30, seed=1)
    size = network_size(features)
    assert {int(chosen[0]), int(chosen[1])} == {int(size.argmin()), int(size.argmax())}
    assert len(set(chosen.tolist())) == 30
    more = choose_samples(features, 10, seed=1, measured=chosen.tolist())
    assert not set(more.tolist()) & set(chosen.tolist())


def test_no_more_are_chosen_than_there_are():
    features = FeatureExtractor(SPACE).encode(POPULATION[:8])
    assert sorted(choose_samples(features, 20, seed=1).tolist()) == list(range(8))


def test_a_budget_is_kept_and_the_result_predicts(sources):
    device = Device(noise=0.02, integer_speedup=2.0)
    result = calibrate(
        SPACE, POPULATION, TargetDevice(measure=device.measure), CalibrationSettings(budget=20, seed=1), sources=sources
    )
    assert result.stopped == "budget"
    assert len(device.asked) == len(set(device.asked)) == len(result.genotypes) == 20
    assert [step.samples for step in result.history] == [10, 15, 20]
    rng = np.random.default_rng(9)
    unseen = SPACE.sample(400, rng)
    found = LatencyMetrics.of(device_latency_ms(SPACE, unseen, rng, noise=0.02), result.predictor.predict(unseen))
    assert found.spearman > 0.97
    assert found.mape_pct < 5
    assert found.coverage_90_pct > 75
    assert 0.4 < result.predictor.expected_mape_pct / found.mape_pct < 2.5


def test_stops_once_the_expected_error_meets_the_target(sources):
    device = Device(noise=0.01)
    result = calibrate(
        SPACE,
        POPULATION,
        TargetDevice(measure=device.measure),
        CalibrationSettings(budget=60, seed=1, target_mape_pct=6.0),
        sources=sources,
    )
    assert result.stopped == "target"
    assert result.predictor.expected_mape_pct <= 6.0
    assert len(device.asked) < 60


def test_failed_measurements_are_left_out_and_a_small_population_ends():
    device = Device(failing=2)
    result = calibrate(
        SPACE, POPULATION[:14], TargetDevice(measure=device.measure), CalibrationSettings(budget=50, seed=1)
    )
    assert result.stopped == "exhausted"
    assert len(result.genotypes) == len(device.asked) - 4
    assert np.isfinite(result.latency_ms).all()


def test_what_is_known_joins_the_fit_and_changes_no_choice(sources):
    alone, informed = Device(), Device()
    rows = np.concatenate([SPACE.sample(12, np.random.default_rng(7)), POPULATION[:1]])
    known = rows, device_latency_ms(SPACE, rows, np.random.default_rng(8))
    first = calibrate(
        SPACE, POPULATION, TargetDevice(measure=alone.measure), CalibrationSettings(budget=10, seed=1), sources=sources
    )
    second = calibrate(
        SPACE,
        POPULATION,
        TargetDevice(measure=informed.measure, known=known),
        CalibrationSettings(budget=10, seed=1),
        sources=sources,
    )
    assert informed.asked == alone.asked
    assert len(first.genotypes) == 10
    assert len(second.genotypes) == len(np.unique(np.concatenate([first.genotypes, SPACE.canonicalize(rows)]), axis=0))
    assert second.predictor.repeatability == 0


def test_known_networks_alone_are_enough_where_every_measurement_fails():
    rows = SPACE.sample(12, np.random.default_rng(7))
    known = rows, device_latency_ms(SPACE, rows, np.random.default_rng(8))
    result = calibrate(
        SPACE,
        POPULATION,
        TargetDevice(measure=Device(failing=100).measure, known=known, repeatability=lambda: 0.03),
        CalibrationSettings(budget=5, seed=1),
    )
    assert len(result.genotypes) == 12
    assert result.predictor.repeatability == 0.03


def test_refuses_a_budget_too_small_or_a_device_that_always_fails():
    with pytest.raises(UnfitDataError, match="budget of 3"):
        calibrate(SPACE, POPULATION, TargetDevice(measure=Device().measure), CalibrationSettings(budget=3, seed=1))
    with pytest.raises(UnfitDataError, match="samples are too few"):
        calibrate(
            SPACE, POPULATION, TargetDevice(measure=Device(failing=100).measure), CalibrationSettings(budget=12, seed=1)
        )


def test_a_calibrated_predictor_is_saved_with_its_sources(sources, tmp_path):
    fitted = calibrate(
        SPACE,
        POPULATION,
        TargetDevice(measure=Device().measure),
        CalibrationSettings(budget=12, seed=1),
        sources=sources,
    ).predictor
    fitted.save(tmp_path / "revision")
    loaded = LatencyPredictor.load(tmp_path / "revision", SPACE)
    left, right = fitted.predict(POPULATION[:50]), loaded.predict(POPULATION[:50])
    assert np.allclose(left.high, right.high, rtol=1e-6)
    assert loaded.expected == fitted.expected
    assert fitted.expected.pseudo_targets == 3


def test_an_upper_bound_holds_on_the_true_latencies(sources):
    device = Device(noise=0.01)
    fitted = calibrate(
        SPACE, POPULATION, TargetDevice(measure=device.measure), CalibrationSettings(budget=30, seed=1), sources=sources
    ).predictor
    rng = np.random.default_rng(5)
    unseen = SPACE.sample(2000, rng)
    truth, prediction = device_latency_ms(SPACE, unseen, rng, noise=0.01), fitted.predict(unseen)
    held = []
    for limit_ms in np.quantile(truth, np.linspace(0.1, 0.9, 60)):
        allowed = np.flatnonzero(prediction.high <= limit_ms)
        chosen = allowed[np.argsort(-prediction.value[allowed])[:10]]
        held.extend(truth[chosen] <= limit_ms)
    assert np.mean(held) > 0.9
