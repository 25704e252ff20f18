import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data.dataset import DataError
from nas.data.split import validation_split


def test_each_class_gives_its_share():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    split = validation_split(labels, seed=3)
    assert np.bincount(labels[split.validation]).tolist() == [20, 10, 2]
    assert sorted([*split.train, *split.validation]) == list(range(160))
    assert (np.diff(split.train) > 0).all()


def test_the_seed_decides():
    labels = np.arange(100) % 4
    first, again, other = (validation_split(labels, seed=seed).validation for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(8, 40), st.floats(0.05, 0.6))
def test_groups_never_straddle(seed, classes, group_count, fraction):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, group_count, 300)
    labels = rng.integers(0, classes, 300)
    split = validation_split(labels, groups=groups, fraction=fraction, seed=seed)
    assert not set(groups[split.train]) & set(groups[split.validation])
    assert len(split.train) + len(split.validation) == 300
    for part in (split.train, split.validation):
        assert set(labels[part]) == set(range(classes))


def test_groups_come_near_the_share():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 100, 5000)
    labels = groups % 10
    split = validation_split(labels, groups=groups)
    share = np.bincount(labels[split.validation]) / np.bincount(labels)
    assert (np.abs(share - 0.2) < 0.1).all()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_fractions_outside_are_refused(fraction):
    with pytest.raises(DataError, match="validation fraction"):
        validation_split(np.arange(10) % 2, fraction=fraction)


def test_classes_that_cannot_be_in_both_parts_are_named():
    with pytest.raises(DataError, match="class 1 has one training image"):
        validation_split(np.array([0, 0, 0, 1]))
    with pytest.raises(DataError, match="class 1 are in one group"):
        validation_split(np.array([0, 0, 1, 1]), groups=np.array([0, 1, 2, 2]))
    with pytest.raises(DataError, match=r"the classes ape, bee have one training image; .*add images or leave"):
        validation_split(np.array([0, 1, 2, 2]), classes=("ape", "bee", "cat"))
    with pytest.raises(DataError, match="the classes 0, 1, 2, 3, 4 and 3 more have one"):
        validation_split(np.arange(8))
    # Any two of the three groups hold all of one class.
    with pytest.raises(DataError, match="no split of the groups"):
        validation_split(np.array([0, 1, 0, 2, 1, 2]), groups=np.array([0, 0, 1, 1, 2, 2]))
