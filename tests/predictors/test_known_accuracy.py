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
    """Fitted to other architectures than are known."""
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


def test_nothing_known_is_a_base_predictor(base, architectures):
    nothing = KnownAccuracies(space=SPACE, genotypes=architectures[:0], accuracy=np.empty(0))
    answer = KnownAccuracyPredictor(base, nothing).predict(architectures)
    assert np.array_equal(answer.value, base.predict(architectures).value)
