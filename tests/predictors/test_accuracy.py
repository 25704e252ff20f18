import numpy as np
import pytest

from predictors.accuracy import AccuracyPredictor
from predictors.errors import RevisionError, UnfitDataError
from predictors.latency import LatencyPredictor
from predictors.metrics import AccuracyMetrics
from search_spaces.registry import get_space
from tests.predictors.synthetic import task_accuracy

SPACE = get_space("mobilenet_v3:tiny")


def _samples(count, seed, quantized=0):
    rng = np.random.default_rng(seed)
    genotypes = SPACE.sample(count, rng)
    plain = SPACE.with_policy(genotypes, "fp32")
    genotypes = np.concatenate([plain[: count - quantized], genotypes[count - quantized :]])
    return genotypes, task_accuracy(SPACE, genotypes, rng)


@pytest.fixture(scope="module")
def predictor():
    return AccuracyPredictor.fit(SPACE, *_samples(60, 0, quantized=15), seed=1)


def test_ranks_unseen_networks(predictor):
    genotypes, truth = _samples(500, 1, quantized=250)
    found = AccuracyMetrics.of(truth, predictor.predict(genotypes))
    assert found.kendall_tau > 0.75
    assert found.rmse < 0.008
    assert found.coverage_90_pct > 75


def test_few_quantized_samples_teach_what_precision_costs(predictor):
    plain, _ = _samples(300, 2)
    loss = predictor.predict(plain).value - predictor.predict(SPACE.with_policy(plain, "int8")).value
    assert 0.003 < loss.mean() < 0.02


def test_works_from_few_samples_without_any_quantized():
    fitted = AccuracyPredictor.fit(SPACE, *_samples(12, 3), seed=1)
    prediction = fitted.predict(_samples(50, 4)[0])
    assert np.all((prediction.low >= 0) & (prediction.low <= prediction.value))
    assert np.all((prediction.value <= prediction.high) & (prediction.high <= 1))
    assert not any(score.form.endswith("correction") for score in fitted.choice.scores)


def test_save_and_load_predict_the_same(predictor, tmp_path):
    predictor.save(tmp_path / "revision")
    loaded = AccuracyPredictor.load(tmp_path / "revision", SPACE)
    genotypes, _ = _samples(30, 5, quantized=15)
    assert np.allclose(loaded.predict(genotypes).high, predictor.predict(genotypes).high, rtol=1e-12)
    assert (loaded.choice, loaded.scale, loaded.held_out) == (predictor.choice, predictor.scale, predictor.held_out)
    with pytest.raises(RevisionError, match="of kind 'accuracy', not 'latency'"):
        LatencyPredictor.load(tmp_path / "revision", SPACE)


def test_refuses_percentages_and_equal_values():
    genotypes, accuracy = _samples(12, 6)
    with pytest.raises(UnfitDataError, match="from 0 to 1"):
        AccuracyPredictor.fit(SPACE, genotypes, accuracy * 100, seed=1)
    with pytest.raises(UnfitDataError, match="same accuracy"):
        AccuracyPredictor.fit(SPACE, genotypes, np.full(12, 0.1), seed=1)
