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
    assert np.array_equal(loaded.cross_validated().low, predictor.cross_validated().low)
    assert np.array_equal(loaded.cross_validated_change(genotypes), predictor.cross_validated_change(genotypes))
    assert (loaded.choice, loaded.scale, loaded.held_out) == (predictor.choice, predictor.scale, predictor.held_out)
    with pytest.raises(RevisionError, match="of kind 'accuracy', not 'latency'"):
        LatencyPredictor.load(tmp_path / "revision", SPACE)


def test_refuses_percentages_and_equal_values():
    genotypes, accuracy = _samples(12, 6)
    with pytest.raises(UnfitDataError, match="from 0 to 1"):
        AccuracyPredictor.fit(SPACE, genotypes, accuracy * 100, seed=1)
    with pytest.raises(UnfitDataError, match="same accuracy"):
        AccuracyPredictor.fit(SPACE, genotypes, np.full(12, 0.1), seed=1)


def test_cross_validated_predictions_have_not_seen_their_sample(predictor):
    genotypes, accuracy = _samples(60, 0, quantized=15)
    found = predictor.cross_validated()
    assert np.array_equal(predictor.genotypes, SPACE.canonicalize(genotypes))
    errors, fitted = found.value - accuracy, predictor.predict(genotypes).value - accuracy
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(predictor.held_out.rmse)
    assert np.abs(errors).mean() > np.abs(fitted).mean()
    assert np.all((found.low <= found.value) & (found.value <= found.high))


def test_forms_of_one_architecture_are_left_out_together():
    """A reading's luck must not return through its twin in another precision."""
    genotypes, accuracy = _samples(16, 7)
    both = np.concatenate([genotypes, SPACE.with_policy(genotypes, "int8")])
    lucky = np.concatenate([accuracy, accuracy])
    plain = AccuracyPredictor.fit(SPACE, both, lucky, seed=1).cross_validated().value[3]
    lucky[[3, 19]] += 0.05
    changed = AccuracyPredictor.fit(SPACE, both, lucky, seed=1).cross_validated().value[3]
    assert changed == pytest.approx(plain, abs=0.01)


def test_intervals_hold_the_true_accuracy_of_noisy_readings():
    """Half of the binomial noise is common to all readings, half is each one's own."""
    images, inside, before_reading = 2000, [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        genotypes, unseen = SPACE.sample(30, rng), SPACE.sample(100, rng)
        truth, unseen_truth = task_accuracy(SPACE, genotypes, rng), task_accuracy(SPACE, unseen, rng)
        noise = (rng.standard_normal() + rng.standard_normal(30)) * np.sqrt(truth * (1 - truth) / images / 2)
        fitted = AccuracyPredictor.fit(SPACE, genotypes, truth + noise, seed=0, images=np.full(30, images))
        for found, wanted, shares in (
            (fitted.predict(unseen), unseen_truth, inside),
            (fitted.cross_validated(), truth, before_reading),
        ):
            shares.append(np.mean((found.low <= wanted) & (wanted <= found.high)))
    assert 0.8 < np.mean(inside) < 0.99
    assert 0.8 < np.mean(before_reading) < 0.99


def test_refuses_numbers_of_images_that_are_none():
    genotypes, accuracy = _samples(12, 6)
    with pytest.raises(UnfitDataError, match="give one each"):
        AccuracyPredictor.fit(SPACE, genotypes, accuracy, seed=1, images=np.full(3, 100))
    with pytest.raises(UnfitDataError, match="sample 2 was read on 0 images"):
        AccuracyPredictor.fit(SPACE, genotypes, accuracy, seed=1, images=np.where(np.arange(12) == 1, 0, 100))
