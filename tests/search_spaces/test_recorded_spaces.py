"""The spaces of recorded tables: MACs and parameters against what their papers publish."""

import itertools

import numpy as np
import pytest

from search_spaces.errors import InvalidGenotypeError, UnsupportedTaskError
from search_spaces.fbnet import BLOCKS
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec

NAMES = ("nasbench201", "fbnet", "mnasnet")


def _cost(space, text):
    operators = space.operators(space.from_string(text))
    return sum(op.macs for op in operators), sum(op.parameters for op in operators)


@pytest.mark.parametrize("name", NAMES)
def test_strings_round_trip(name):
    space = get_space(name)
    genotypes = space.sample(200, np.random.default_rng(0))
    assert np.array_equal(space.from_strings(space.to_strings(genotypes)), genotypes)
    assert all(space.describe(row) for row in genotypes[:20])


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_costs_least_and_the_largest_most(name):
    space = get_space(name)

    def macs(row):
        return sum(op.macs for op in space.operators(row))

    sampled = [macs(row) for row in space.sample(100, np.random.default_rng(1))]
    assert macs(space.largest()) >= max(sampled)
    assert space.operators(space.smallest())
    assert macs(space.smallest()) <= np.median(sampled)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", "1-2-3", "|conv~0|", "e=6;k=3"])
def test_foreign_strings_are_refused(name, text):
    with pytest.raises(InvalidGenotypeError):
        get_space(name).from_string(text)


@pytest.mark.parametrize("name", NAMES)
def test_images_too_small_are_refused(name):
    with pytest.raises(UnsupportedTaskError):
        get_space(name, TaskSpec.image_classification(channels=3, height=3, width=64, classes=10))


@pytest.mark.parametrize(
    ("edges", "mega_flops", "mega_parameters"),
    [  # as the benchmark's own query answers for CIFAR-10; edges in the order of the strings
        ("conv3x3 conv3x3 pool skip conv3x3 skip", 113.95, 0.802),
        ("conv3x3 conv3x3 conv3x3 conv3x3 conv3x3 conv3x3", 220.12, 1.531),
        ("pool conv1x1 skip conv1x1 skip skip", 15.65, 0.129),
    ],
)
def test_nasbench201_matches_the_published_costs(edges, mega_flops, mega_parameters):
    names = {"conv3x3": "nor_conv_3x3", "conv1x1": "nor_conv_1x1", "pool": "avg_pool_3x3", "skip": "skip_connect"}
    a, b, c, d, e, f = (names[edge] for edge in edges.split())
    macs, parameters = _cost(get_space("nasbench201"), f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|")
    assert macs / 1e6 == pytest.approx(mega_flops, rel=5e-4)
    # The benchmark counts two parameters a batch-norm channel, a fused kernel one bias.
    assert parameters / 1e6 == pytest.approx(mega_parameters, rel=1.5e-2)


def test_fbnet_c_matches_its_paper():
    blocks = ["k3_e1", "k3_e6", "skip", "k3_e1", "k3_e1", "k5_e6", "k5_e3", "k5_e6", "k3_e6"]
    blocks += ["k5_e6", "k5_e3", *["k5_e6"] * 5, "k5_e3", *["k5_e6"] * 4, "k3_e6"]
    macs, parameters = _cost(get_space("fbnet"), "-".join(str(BLOCKS.index(block)) for block in blocks))
    assert macs / 1e6 == pytest.approx(375, rel=0.03)
    assert parameters / 1e6 == pytest.approx(5.5, rel=0.02)


def test_mnasnet_holds_efficientnet_b0():
    text = "e=1-6-6-6-6-6-6;k=3-3-5-3-5-5-3;l=1-2-2-3-3-4-1;se=1-1-1-1-1-1-1"
    macs, parameters = _cost(get_space("mnasnet"), text)
    assert macs / 1e6 == pytest.approx(390, rel=0.02)
    assert parameters / 1e6 == pytest.approx(5.29, rel=0.01)


# --- identity in nasbench201 -------------------------------------------------------


@pytest.fixture(scope="module")
def cells():
    return np.array(list(itertools.product(range(5), repeat=6)))


def test_canonicalizing_is_idempotent_and_keeps_the_cost(cells):
    space = get_space("nasbench201")
    canonical = space.canonicalize(cells)
    assert np.array_equal(space.canonicalize(canonical), canonical)
    assert len(np.unique(canonical, axis=0)) == 5425


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (  # the middle nodes swapped
            "|nor_conv_3x3~0|+|avg_pool_3x3~0|none~1|+|none~0|nor_conv_1x1~1|skip_connect~2|",
            "|avg_pool_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|nor_conv_1x1~2|",
        ),
        (  # an edge into a node that reaches nothing
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_1x1~1|none~2|",
            "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|",
        ),
        (  # an edge out of a node that nothing reaches
            "|none~0|+|none~0|none~1|+|skip_connect~0|nor_conv_3x3~1|none~2|",
            "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
        ),
        (  # an identity in a chain
            "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|",
            "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|",
        ),
    ],
)
def test_isomorphic_cells_are_one_candidate(one, other):
    space = get_space("nasbench201")
    assert space.candidate(space.from_string(one)).id == space.candidate(space.from_string(other)).id


def test_cells_that_compute_twice_are_not_those_that_compute_once():
    space = get_space("nasbench201")
    twice = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|skip_connect~2|"
    assert sum(op.kernel == 3 for op in space.operators(space.from_string(twice))) > 1
    once = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|"
    assert space.to_string(space.from_string(once)) != space.to_string(space.from_string(twice))
