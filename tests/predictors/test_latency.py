import json

import numpy as np
import pytest

from predictors.errors import RevisionError, UnfitDataError
from predictors.features import FeatureExtractor
from predictors.latency import LatencyPredictor
from predictors.metrics import LatencyMetrics
from search_spaces.errors import InvalidGenotypeError
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec
from tests.predictors.synthetic import device_latency_ms

SPACE = get_space("mobilenet_v3:tiny")


def _samples(count, seed, **law):
    rng = np.random.default_rng(seed)
    genotypes = SPACE.sample(count, rng)
    columns = SPACE.policy_columns
    genotypes[:, columns] = np.minimum(genotypes[:, columns], 1)  # the law knows fp32 and int8
    genotypes = SPACE.canonicalize(genotypes)
    return genotypes, device_latency_ms(SPACE, genotypes, rng, **law)


@pytest.fixture(scope="module")
def predictor():
    return LatencyPredictor.fit(SPACE, *_samples(40, 0), seed=1)


def test_predicts_unseen_networks_within_its_stated_error(predictor):
    genotypes, truth = _samples(500, 1)
    found = LatencyMetrics.of(truth, predictor.predict(genotypes))
    assert found.spearman > 0.98
    assert found.mape_pct < 4
    assert found.mape_pct < 2 * predictor.held_out.mape_pct
    assert found.coverage_90_pct > 80


@pytest.mark.parametrize("count", [5, 12, 16])
def test_works_from_few_samples(count):
    fitted = LatencyPredictor.fit(SPACE, *_samples(count, 2), seed=1)
    genotypes, truth = _samples(200, 3)
    prediction = fitted.predict(genotypes)
    assert np.all(prediction.low <= prediction.value)
    assert np.all(prediction.value <= prediction.high)
    assert np.all(prediction.low > 0)
    assert LatencyMetrics.of(truth, prediction).spearman > 0.5


def test_noisy_measurements_weigh_less():
    """A third of the measurements is off by a tenth: predictions are closer where the fit is told so."""
    ratios, extractor = [], FeatureExtractor(SPACE, ())
    for seed in range(4):
        genotypes, latency_ms = _samples(40, 60 + seed)
        noisy = np.arange(40) % 3 == 0
        rng = np.random.default_rng(seed)
        read_ms = np.where(noisy, latency_ms * np.exp(rng.normal(0.0, 0.1, 40)), latency_ms)
        weights = np.where(noisy, 0.01, 1.0)
        unseen, truth = _samples(300, 90 + seed)
        told, untold = (
            LatencyPredictor.fit_with(extractor, genotypes, read_ms, seed=1, repeatability=0.01, weights=given)
            for given in (weights, None)
        )
        errors = [LatencyMetrics.of(truth, fitted.predict(unseen)).mape_pct for fitted in (told, untold)]
        ratios.append(errors[0] / errors[1])
    assert np.median(ratios) < 0.95


@pytest.mark.parametrize("weights", [np.ones(39), np.where(np.arange(40) == 3, 0.0, 1.0)])
def test_weights_are_one_per_measurement_and_above_zero(weights):
    with pytest.raises(UnfitDataError, match="as many weights above 0"):
        LatencyPredictor.fit_with(FeatureExtractor(SPACE, ()), *_samples(40, 0), seed=1, weights=weights)


@pytest.mark.parametrize("count", [5, 6, 8, 12])
def test_a_handful_of_samples_is_not_believed_to_explain_everything(count):
    """Six samples that a model fits exactly by chance say nothing of its error."""
    inside, stated_shares = [], []
    for seed in range(6):
        source = LatencyPredictor.fit(SPACE, *_samples(6, 30 + seed, integer_speedup=0.8), seed=1)
        for sources in ((), (source,)):
            fitted = LatencyPredictor.fit(SPACE, *_samples(count, seed), seed=1, sources=sources)
            genotypes, truth = _samples(200, 50 + seed)
            found = LatencyMetrics.of(truth, fitted.predict(genotypes))
            inside.append(found.coverage_90_pct)
            stated_shares.append(fitted.expected_mape_pct / found.mape_pct)
    assert np.mean(inside) > 80
    assert min(inside) > 40
    assert min(stated_shares) > 0.3


def test_intervals_are_wider_for_networks_unlike_the_samples():
    rng = np.random.default_rng(20)
    small = SPACE.with_policy(SPACE.sample(40, rng), "fp32")
    fitted = LatencyPredictor.fit(SPACE, small, device_latency_ms(SPACE, small, rng), seed=1)
    like, unlike = (
        fitted.predict(SPACE.with_policy(SPACE.sample(200, rng), precision)) for precision in ("fp32", "int8")
    )
    widths = [float(np.median(prediction.high / prediction.low)) for prediction in (like, unlike)]
    assert widths[1] > widths[0]


def test_cross_validated_predictions_are_those_of_the_held_out_figures(predictor):
    _, latency_ms = _samples(40, 0)
    found = LatencyMetrics.of(latency_ms, predictor.cross_validated(latency_ms))
    assert found.mape_pct == pytest.approx(predictor.held_out.mape_pct)
    assert found.interval_width_pct == pytest.approx(predictor.held_out.interval_width_pct)


def test_the_choice_names_every_form_and_why(predictor):
    assert predictor.choice.form in {score.form for score in predictor.choice.scores}
    assert len(predictor.choice.reasons) == len(predictor.choice.scores)
    assert "(chosen)" in predictor.choice.reasons[0]
    few = LatencyPredictor.fit(SPACE, *_samples(12, 2), seed=1).choice
    assert any("not tried: it needs 40 samples" in reason for reason in few.reasons)


def test_the_same_samples_give_the_same_predictor(predictor):
    again = LatencyPredictor.fit(SPACE, *_samples(40, 0), seed=1)
    genotypes, _ = _samples(50, 4)
    assert np.array_equal(again.predict(genotypes).high, predictor.predict(genotypes).high)
    assert again.data_sha256 == predictor.data_sha256


def test_a_source_helps_where_samples_are_few():
    source = LatencyPredictor.fit(SPACE, *_samples(150, 5, integer_speedup=0.8), seed=1)
    genotypes, latency_ms = _samples(10, 6, integer_speedup=1.0)
    with_source = LatencyPredictor.fit(SPACE, genotypes, latency_ms, seed=1, sources=(source,))
    alone = LatencyPredictor.fit(SPACE, genotypes, latency_ms, seed=1)
    unseen, truth = _samples(300, 7, integer_speedup=1.0)
    errors = [LatencyMetrics.of(truth, p.predict(unseen)).mape_pct for p in (with_source, alone)]
    assert errors[0] < errors[1]


def test_save_and_load_predict_the_same(tmp_path):
    source = LatencyPredictor.fit(SPACE, *_samples(60, 8), seed=1)
    fitted = LatencyPredictor.fit(SPACE, *_samples(80, 9), seed=1, sources=(source,), repeatability=0.02)
    fitted.save(tmp_path / "revision")
    loaded = LatencyPredictor.load(tmp_path / "revision", SPACE)
    genotypes, _ = _samples(30, 10)
    for left, right in ((fitted, loaded), (fitted.sources[0], loaded.sources[0])):
        assert np.allclose(left.predict(genotypes).low, right.predict(genotypes).low, rtol=1e-12)
    assert loaded.choice == fitted.choice
    assert loaded.held_out == fitted.held_out
    assert loaded.repeatability == 0.02
    assert np.array_equal(loaded.outside(genotypes), fitted.outside(genotypes))
    assert {path.suffix for path in (tmp_path / "revision").rglob("*") if path.is_file()} <= {".json", ".npz", ".ubj"}


def test_a_revision_is_never_overwritten(predictor, tmp_path):
    predictor.save(tmp_path / "revision")
    with pytest.raises(RevisionError, match="never overwritten"):
        predictor.save(tmp_path / "revision")


def test_refuses_another_space_task_or_damage(predictor, tmp_path):
    predictor.save(tmp_path / "revision")
    with pytest.raises(RevisionError, match="predicts for the space"):
        LatencyPredictor.load(tmp_path / "revision", get_space("mobilenet_v3:imagenet"))
    other = get_space("mobilenet_v3:tiny", TaskSpec.image_classification(channels=3, height=32, width=32, classes=10))
    with pytest.raises(RevisionError, match="another task or feature schema"):
        LatencyPredictor.load(tmp_path / "revision", other)
    document = json.loads((tmp_path / "revision" / "revision.json").read_text())
    (tmp_path / "revision" / "revision.json").write_text(json.dumps(document)[:-20])
    with pytest.raises(RevisionError, match="not a complete predictor revision"):
        LatencyPredictor.load(tmp_path / "revision", SPACE)
    with pytest.raises(InvalidGenotypeError):
        predictor.predict(np.zeros((2, 3), dtype=np.int64))


def test_says_what_lies_outside_its_training(predictor):
    trained, _ = _samples(40, 0)
    assert not predictor.outside(trained).any()
    small = SPACE.with_policy(trained, "fp32")
    shallow = LatencyPredictor.fit(SPACE, small, np.linspace(1, 2, 40), seed=1)
    assert shallow.outside(SPACE.with_policy(trained, "int8")).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: np.full_like(y, 3.0), "same latencies in ms"),
        (lambda y: np.where(np.arange(len(y)) == 2, np.nan, y), "sample 3 is nan"),
        (lambda y: np.where(np.arange(len(y)) == 0, -1.0, y), "sample 1 is -1"),
        (lambda y: y[:-1], "give one each"),
    ],
)
def test_refuses_latencies_that_teach_nothing(change, message):
    genotypes, latency_ms = _samples(12, 11)
    with pytest.raises(UnfitDataError, match=message):
        LatencyPredictor.fit(SPACE, genotypes, change(latency_ms), seed=1)


def test_refuses_too_few_or_equal_networks_and_foreign_sources():
    genotypes, latency_ms = _samples(12, 11)
    with pytest.raises(UnfitDataError, match="4 samples are too few"):
        LatencyPredictor.fit(SPACE, genotypes[:4], latency_ms[:4], seed=1)
    with pytest.raises(UnfitDataError, match="the same network"):
        LatencyPredictor.fit(SPACE, np.repeat(genotypes[:1], 12, axis=0), latency_ms, seed=1)
    other = get_space("mobilenet_v3:imagenet")
    rows = other.sample(12, np.random.default_rng(0))
    source = LatencyPredictor.fit(other, rows, latency_ms, seed=1)
    with pytest.raises(UnfitDataError, match="a source predicts for the space"):
        LatencyPredictor.fit(SPACE, genotypes, latency_ms, seed=1, sources=(source,))


def _nulled(path, field):
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {field: None}))


@pytest.mark.parametrize(
    "field", ["choice", "expected", "held_out", "model", "repeatability", "schema_hash", "sources"]
)
def test_refuses_a_revision_with_a_field_that_says_nothing(tmp_path, predictor, field):
    predictor.save(tmp_path / "revision")
    _nulled(tmp_path / "revision" / "revision.json", field)
    with pytest.raises(RevisionError, match="fit it again"):
        LatencyPredictor.load(tmp_path / "revision", SPACE)


def test_a_revision_of_another_version_is_refused_as_such(tmp_path, predictor):
    predictor.save(tmp_path / "revision")
    path = tmp_path / "revision" / "revision.json"
    document = json.loads(path.read_text())
    del document["format"]
    path.write_text(json.dumps(document))
    with pytest.raises(RevisionError, match="another version of hwnas"):
        LatencyPredictor.load(tmp_path / "revision", SPACE)


@pytest.mark.parametrize("kept_bytes", [0, 3, 200, 2000])
def test_refuses_a_revision_whose_arrays_are_cut_off(tmp_path, predictor, kept_bytes):
    predictor.save(tmp_path / "revision")
    arrays = tmp_path / "revision" / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:kept_bytes])
    with pytest.raises(RevisionError, match="not a complete predictor revision"):
        LatencyPredictor.load(tmp_path / "revision", SPACE)
