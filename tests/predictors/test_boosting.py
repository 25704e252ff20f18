import numpy as np

from predictors.additive import AdditiveEstimator
from predictors.boosting import BoostingEstimator, TreeSettings, train
from predictors.features import FeatureExtractor
from predictors.latency import LatencyPredictor, latency_models
from predictors.regression import Readings
from search_spaces.registry import get_space
from tests.predictors.synthetic import device_latency_ms

SPACE = get_space("mobilenet_v3:tiny")


def _samples(count, seed):
    rng = np.random.default_rng(seed)
    genotypes = SPACE.sample(count, rng)
    return genotypes, device_latency_ms(SPACE, genotypes, rng)


def test_predictions_never_fall_along_increasing_columns():
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((200, 3)).astype(np.float32)
    target = np.sin(2 * columns[:, 0]) + columns[:, 1] ** 2 + 0.1 * rng.standard_normal(200)
    booster = train(columns, target, TreeSettings(), 0, increasing=[0])
    grid = np.repeat(columns[:20], 30, axis=0)
    grid[:, 0] = np.tile(np.linspace(-3, 3, 30), 20)
    steps = np.diff(booster.inplace_predict(grid).reshape(20, 30), axis=1)
    assert steps.min() >= 0
    free = train(columns, target, TreeSettings(), 0).inplace_predict(grid).reshape(20, 30)
    assert np.diff(free, axis=1).min() < 0


def test_what_monotone_trees_add_never_falls_with_the_work():
    genotypes, latency_ms = _samples(120, 0)
    features = FeatureExtractor(SPACE).encode(genotypes)
    form = BoostingEstimator(name="trees", base=AdditiveEstimator(), trees=TreeSettings(), monotone=True)
    fitted = form.fit(features, Readings.exact(np.log(latency_ms)), 0)
    first = features.encoding.shape[1]
    start = fitted.base.predict(features)
    before = fitted.booster.inplace_predict(np.column_stack([features.columns, start]).astype(np.float32))
    more = features.columns.copy()
    more[:, first : first + features.facts.shape[1]] += 0.2
    after = fitted.booster.inplace_predict(np.column_stack([more, start]).astype(np.float32))
    assert np.all(after >= before)
    assert np.any(after > before)


def test_trees_on_the_additive_base_compete_from_twenty_samples_on():
    assert latency_models()["trees"].monotone
    for count, competes in ((16, False), (20, True)):
        choice = LatencyPredictor.fit(SPACE, *_samples(count, 1), seed=1).choice
        score = next(score for score in choice.scores if score.form == "own_additive+trees")
        needs = score.skipped is not None and "needs 18 samples" in score.skipped
        assert needs is not competes
