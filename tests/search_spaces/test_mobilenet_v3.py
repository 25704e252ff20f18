import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given

from search_spaces.errors import InvalidGenotypeError, UnsupportedTaskError
from search_spaces.mobilenet_v3 import MobileNetV3Space
from search_spaces.mobilenet_v3_config import TINY, round_width
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec
from tests.search_spaces.strategies import mobilenets_with_genotypes


@given(mobilenets_with_genotypes)
def test_operators_chain_from_the_image_to_the_classes(drawn):
    space, raw = drawn
    operators = space.operators(space.canonical_row(raw))
    first, last = operators[0], operators[-1]
    assert (first.in_channels, first.in_height, first.in_width) == space.task.input.shape
    assert (last.out_channels, last.out_height, last.out_width) == (space.task.classes, 1, 1)
    head_pool = max(number for number, operator in enumerate(operators) if operator.kind == "pool")
    main = [o for o in operators[:head_pool] if o.kind not in ("pool", "linear")]
    for before, after in itertools.pairwise(main):
        assert (before.out_channels, before.out_height) == (after.in_channels, after.in_height)


def test_the_published_table_strings_are_of_the_imagenet_space():
    space = get_space("ofa_mobilenet_v3")
    text = "ks=7-5-5-5-7-7-5-7-5-7-3-7-5-3-7-3-5-3-5-3;e=6-4-4-6-6-3-4-3-3-6-3-3-3-6-3-4-6-4-3-6;d=2-2-2-2-3;r=204"
    shape = space.network_shape(space.from_string(text))
    assert space.name == "mobilenet_v3:imagenet"
    assert shape.resolution == (204, 204)
    assert [b.kernel for b in shape.blocks[1:]] == [7, 5, 7, 7, 5, 7, 5, 3, 5, 3, 5]


def test_costs_of_mobilenet_v3_large_are_the_published_ones():
    # The network of Howard et al. (2019) with its blocks rounded to this space's genes has
    # 219 million MACs and 5.4 million parameters; OFA's nearest member is close to it.
    space = get_space("mobilenet_v3:imagenet")
    values = {f"stage{s}.depth": d for s, d in zip(range(1, 6), (2, 3, 4, 2, 3), strict=True)}
    values |= {"resolution": "224x224"}
    kernels = {1: 3, 2: 5, 3: 3, 4: 3, 5: 5}
    for stage, kernel in kernels.items():
        for block in range(1, 5):
            values[f"stage{stage}.block{block}.kernel"] = kernel
            values[f"stage{stage}.block{block}.expand"] = {1: 4, 2: 3, 3: 3, 4: 6, 5: 6}[stage]
    operators = space.operators(space.genotype(values))
    assert sum(o.macs for o in operators) == pytest.approx(219e6, rel=0.05)
    assert sum(o.parameters for o in operators) == pytest.approx(5.4e6, rel=0.05)


@pytest.mark.parametrize(
    ("name", "configuration", "largest"),
    [
        (
            "mobilenet_v3:tiny",
            "9714fff383f11281bf1fde85d9217d230c3df489b84932dccca951ac568070b3",
            "f1d0b36ddda54c3a129870882a3ebdfc351b7cd78331367f71ac7349fad2ab5e",
        ),
        (
            "mobilenet_v3:imagenet",
            "b7552b78958e139ed426d1b6522b62f51a01b6d9503a6bcfc7116e6311264848",
            "0a4abadda30c1e47ab995f35f55f4a883de9df69966b81dafee545ba1fa0e24d",
        ),
    ],
)
def test_ids_of_candidates_and_supernets_stay(name, configuration, largest):
    # Both were recorded before there were fused blocks.
    space = get_space(name)
    assert hashlib.sha256(space.configuration.encode()).hexdigest() == configuration
    assert space.candidate(space.largest()).id == largest


@pytest.mark.parametrize("name", ["mobilenet_v3:tiny", "mobilenet_v3:imagenet"])
def test_a_network_without_fused_blocks_is_the_one_of_the_plain_space(name):
    plain, fusible = get_space(name), get_space(f"{name}-fused")
    for genotype in plain.sample(10, np.random.default_rng(0)):
        same = fusible.genotype(plain.values(genotype))
        assert fusible.operators(same) == plain.operators(genotype)
        assert fusible.describe(same) == plain.describe(genotype)


def test_a_fused_stage_has_a_dense_convolution_per_block_and_no_kernel_gene():
    space = get_space("mobilenet_v3:tiny-fused")
    values = {"stage1.fused": True, "stage1.depth": 2, "stage2.depth": 3, "stage3.fused": True}
    kernels = {f"{block.unit}.kernel": 7 for block in space.blocks}
    genotype = space.genotype({**kernels, **values})
    assert (genotype == space.genotype({**{k: 7 for k in kernels if "stage2" in k}, **values})).all()
    assert space.values(genotype).keys() & kernels.keys() == {f"stage2.block{n}.kernel" for n in (1, 2, 3)}
    assert space.from_string(space.to_string(genotype)).tolist() == genotype.tolist()
    assert ";f=1-0-1;" in space.to_string(genotype)
    spatial = [(o.kind, o.kernel, o.stride) for o in space.operators(genotype) if o.kernel > 1]
    dense, depthwise = "convolution", "depthwise"
    assert spatial == [
        (dense, 3, 2),
        (depthwise, 3, 1),
        *[(dense, 3, 1)] * 2,
        (depthwise, 7, 2),
        *[(depthwise, 7, 1)] * 2,
        (dense, 3, 2),
    ]
    assert space.describe(genotype).endswith("8ch fused k3-3 e2-2 | 24ch k7-7-7 e2-2-2 | 48ch fused k3 e2")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ks=3", "values"),
        ("zz=3", "unknown"),
        ("d=1-1-1;d=1-1-1", "repeated"),
        ("d=1-1-9;r=28", "stage3.depth"),
        ("d=1-1-1", "missing"),
        ("", "unknown"),
    ],
)
def test_a_wrong_string_names_what_is_wrong(text, word):
    with pytest.raises(InvalidGenotypeError, match=word):
        get_space("mobilenet_v3:tiny").from_string(text)


def test_images_below_the_smallest_side_are_refused_by_size():
    with pytest.raises(UnsupportedTaskError, match="16x16"):
        MobileNetV3Space(TINY, TaskSpec.image_classification(channels=1, height=16, width=16, classes=10))


def test_every_size_that_is_promised_fits():
    for side in (28, 32, 64, 96):
        space = MobileNetV3Space(TINY, TaskSpec.image_classification(channels=3, height=side, width=side, classes=100))
        assert len(space.resolutions) == 3
        assert space.resolutions[-1] == (side, side)


@pytest.mark.parametrize("name", ["mobilenet_v3:imagenet", "mobilenet_v3:tiny-fused", "mobilenet_v3:imagenet-fused"])
def test_smallest_and_largest_bound_the_cost(name):
    space = get_space(name)
    rng = np.random.default_rng(0)
    macs = [sum(o.macs for o in space.operators(row)) for row in space.sample(50, rng)]
    low, high = (sum(o.macs for o in space.operators(row)) for row in (space.smallest(), space.largest()))
    assert low <= min(macs)
    assert max(macs) <= high


@pytest.mark.parametrize(("width", "rounded"), [(12, 16), (16, 16), (20, 24), (35, 32), (1, 8), (100, 104)])
def test_round_width_follows_mobilenet(width, rounded):
    assert round_width(width) == rounded
