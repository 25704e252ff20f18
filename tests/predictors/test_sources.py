import numpy as np
import pytest

from predictors.errors import RevisionError, UnfitDataError
from predictors.latency import LatencyPredictor, load_source
from predictors.metrics import mape_pct
from predictors.sources import SourceFeatures, SourceModel, fold_of
from search_spaces.registry import get_space
from tests.predictors.synthetic import device_latency_ms

SPACE = get_space("mobilenet_v3:tiny")


def _samples(count, seed, **law):
    rng = np.random.default_rng(seed)
    genotypes = SPACE.sample(count, rng)
    return genotypes, device_latency_ms(SPACE, genotypes, rng, **law)


@pytest.fixture(scope="module")
def source():
    return SourceModel.fit(SPACE, *_samples(400, 0, noise=0.03), seed=1)


def test_folds_are_even_and_follow_the_genotype_alone():
    genotypes, _ = _samples(2000, 1)
    folds = fold_of(genotypes)
    assert set(folds) == {0, 1, 2, 3}
    assert np.bincount(folds).min() > 400
    assert np.array_equal(fold_of(genotypes[::-1]), folds[::-1])


def test_recorded_networks_are_predicted_as_if_they_had_not_been(source):
    seen, measured = _samples(400, 0, noise=0.03)
    unseen, truth = _samples(400, 2, noise=0.03)
    errors = [mape_pct(y, np.exp(source.log_latency(g))) for g, y in ((seen, measured), (unseen, truth))]
    assert errors[0] > 0.8 * errors[1]
    assert errors[1] < 4
    assert 100 * np.mean(np.abs(source.residuals)) == pytest.approx(errors[1], rel=0.3)


def test_save_and_load_predict_the_same(source, tmp_path):
    source.save(tmp_path / "source")
    loaded = SourceModel.load(tmp_path / "source", SPACE)
    genotypes, _ = _samples(50, 3)
    assert np.allclose(loaded.log_latency(genotypes), source.log_latency(genotypes), atol=1e-6)
    assert isinstance(load_source(tmp_path / "source", SPACE), SourceModel)
    with pytest.raises(RevisionError, match="of kind 'source'"):
        LatencyPredictor.load(tmp_path / "source", SPACE)


def test_sources_may_share_their_features(source):
    shared = SourceFeatures(SPACE)
    again = SourceModel.fit(SPACE, *_samples(400, 0, noise=0.03), seed=1, features=shared)
    genotypes, _ = _samples(20, 4)
    assert np.array_equal(again.log_latency(genotypes), source.log_latency(genotypes))


def test_refuses_constant_latencies():
    genotypes, latency_ms = _samples(300, 5)
    with pytest.raises(UnfitDataError, match="same latencies"):
        SourceModel.fit(SPACE, genotypes, np.ones_like(latency_ms), seed=1)
