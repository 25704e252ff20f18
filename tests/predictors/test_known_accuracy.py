import numpy as np
import pytest

from predictors.accuracy import AccuracyPredictor
from predictors.known_accuracy import KnownAccuracies, KnownAccuracyPredictor
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")
POLICY_COST = 0.004


def true_accuracy(genotypes):
    """Saturates in MACs, loses a little a quantized unit, and differs from network to network."""
    macs = np.log10(CostFacts(SPACE).column("macs", genotypes))
    quantized = (genotypes[:, SPACE.policy_columns] > 0).sum(axis=1)
    plain = SPACE.unquantized(genotypes)
    own = np.array([np.random.default_rng(row.astype(np.uint32)).normal(0, 0.02) for row in plain])
    return 0.5 + 0.06 * macs + own - POLICY_COST * quantized


@pytest.fixture(scope="module")
def architectures():
    rows = SPACE.unquantized(SPACE.sample(60, np.random.default_rng(0)))
    return np.unique(rows, axis=0)


def quantized_forms(architectures):
    rows = architectures.copy()
    columns = SPACE.policy_columns
    drawn = np.random.default_rng(1).integers(0, SPACE.cardinalities[columns], size=(len(rows), len(columns)))
    rows[:, columns] = drawn
    rows = SPACE.canonicalize(rows)
    return rows[(rows[:, columns] > 0).any(axis=1)]


@pytest.fixture(scope="module")
def base(architectures):
    """FittedModel to other architectures than are known."""
    rows = np.concatenate([architectures[40:], quantized_forms(architectures[40:])])
    return AccuracyPredictor.fit(SPACE, rows, true_accuracy(rows), seed=0)


@pytest.fixture(scope="module")
def known(architectures):
    rows = np.concatenate([architectures[:30], quantized_forms(architectures[:10])])
    return KnownAccuracies(space=SPACE, genotypes=rows, accuracy=true_accuracy(rows))


@pytest.fixture(scope="module")
def combined(base, known):
    return KnownAccuracyPredictor(base, known)


def test_what_is_known_is_not_predicted(combined, known):
    answer = combined.predict(known.genotypes)
    for column in (answer.value, answer.low, answer.high):
        assert np.array_equal(column, known.accuracy)


def test_quantized_forms_start_from_their_architecture(combined, base, architectures):
    asked = quantized_forms(architectures[10:30])
    truth = true_accuracy(asked)
    error = np.abs(combined.predict(asked).value - truth)
    assert error.mean() < 0.5 * np.abs(base.predict(asked).value - truth).mean()
    answer = combined.predict(asked)
    assert ((answer.low <= truth) & (truth <= answer.high)).mean() > 0.7
    assert (answer.high > answer.low).all()


def test_unknown_architectures_are_the_base_predictors(combined, base, architectures):
    expected, answer = base.predict(architectures[30:]), combined.predict(architectures[30:])
    assert np.array_equal(answer.value, expected.value)
    assert np.array_equal(answer.low, expected.low)
    assert np.array_equal(answer.high, expected.high)


def test_joining_keeps_what_is_known_first(architectures):
    first = KnownAccuracies(space=SPACE, genotypes=architectures[:3], accuracy=np.array([0.1, 0.2, 0.3]))
    second = KnownAccuracies(space=SPACE, genotypes=architectures[2:5], accuracy=np.array([0.7, 0.8, 0.9]))
    joined = first.joined(second)
    assert np.array_equal(joined.of(architectures[:5]), [0.1, 0.2, 0.3, 0.8, 0.9])
    assert np.isnan(joined.of(architectures[5:6])).all()
    assert np.array_equal(joined.of_architecture(architectures[:1]), [0.1])


class _PredictsOnly:
    """A base that cannot leave out what it was fitted to."""

    def __init__(self, base):
        self.predict = base.predict


def test_a_base_without_left_out_predictions_keeps_its_own_interval_widths(base, known, architectures):
    asked = quantized_forms(architectures[10:30])
    answer, own = KnownAccuracyPredictor(_PredictsOnly(base), known).predict(asked), base.predict(asked)
    assert np.allclose(answer.high - answer.low, own.high - own.low)


def test_nothing_known_is_a_base_predictor(base, architectures):
    nothing = KnownAccuracies(space=SPACE, genotypes=architectures[:0], accuracy=np.empty(0))
    answer = KnownAccuracyPredictor(base, nothing).predict(architectures)
    assert np.array_equal(answer.value, base.predict(architectures).value)


@pytest.mark.parametrize(("floats", "quantized"), [(30, 6), (40, 12)])
def test_intervals_cover_fresh_quantized_forms(floats, quantized):
    """The base is fitted to all that is known, the quantized forms among it."""
    inside = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        plain = rng.permutation(np.unique(SPACE.unquantized(SPACE.sample(floats, rng)), axis=0))
        costs = rng.gamma(1.0, 0.006, len(SPACE.policy_columns))
        rows = np.unique(np.concatenate([plain, _random_policies(plain[:quantized], rng)]), axis=0)
        known = KnownAccuracies(space=SPACE, genotypes=rows, accuracy=_costly_policies(rows, costs))
        base = AccuracyPredictor.fit(SPACE, known.genotypes, known.accuracy, seed=0)
        asked = _random_policies(np.repeat(plain, 3, axis=0), rng)
        asked, truth = asked[np.isnan(known.of(asked))], _costly_policies(asked, costs)[np.isnan(known.of(asked))]
        found = KnownAccuracyPredictor(base, known).predict(asked)
        inside.append(np.mean((found.low <= truth) & (truth <= found.high)))
    assert 0.8 < np.mean(inside) < 0.985


def _random_policies(architectures, rng):
    rows, columns = architectures.copy(), SPACE.policy_columns
    rows[:, columns] = rng.integers(0, 2, size=(len(rows), len(columns)))
    rows = SPACE.canonicalize(rows)
    return rows[(rows[:, columns] > 0).any(axis=1)]


def _costly_policies(genotypes, costs):
    """Units differ in what quantizing them costs, and each network in how it takes it."""
    chosen = genotypes[:, SPACE.policy_columns] > 0
    own = [np.random.default_rng([7, *row.astype(np.uint32)]).normal(0, 0.003) for row in genotypes]
    lost = chosen @ costs * (1 + chosen.mean(axis=1) / 2) + np.where(chosen.any(axis=1), own, 0)
    return true_accuracy(SPACE.unquantized(genotypes)) - lost
