import itertools

import pytest
from hypothesis import given

from search_spaces import resnet_config
from search_spaces.errors import InvalidGenotypeError, UnsupportedTaskError
from search_spaces.registry import get_space
from search_spaces.resnet import ResNetSpace
from search_spaces.task import TaskSpec
from tests.search_spaces.strategies import resnets_with_genotypes

RESNET_50_MACS = 4_089_184_256
"""Of torchvision's ResNet-50 at 224 pixels (stride in the 3x3 convolutions), convolutions and classifier."""
RESNET_50_PARAMETERS = 25_557_032
STEM_7X7_WEIGHTS = 7 * 7 * 3 * 64
DEEP_STEM_WEIGHTS = 3 * 3 * (3 * 32 + 32 * 32 + 32 * 64)
STEM_PIXELS = 112 * 112


def member(space, depths, expand, *, residual):
    """The member of full width with depths and expand ratio given."""
    values = {"resolution": "224x224", "stem.residual": residual, "stem.mid_width": 32, "stem.width": 64}
    for number, (depth, width) in enumerate(zip(depths, (256, 512, 1024, 2048), strict=True), start=1):
        values |= {f"stage{number}.depth": depth, f"stage{number}.width": width}
    values |= {gene.name: expand for gene in space.genes if gene.name.endswith(".expand")}
    return space.genotype(values)


def test_resnet_50_d_is_a_member_with_its_published_costs():
    # ResNet-50-D is ResNet-50 with a deep stem of 32, 32 and 64 channels; its pooled shortcuts cost nothing.
    space = get_space("resnet:imagenet")
    operators = space.operators(member(space, (3, 4, 6, 3), 0.25, residual=True))
    stem = DEEP_STEM_WEIGHTS - STEM_7X7_WEIGHTS
    assert sum(op.macs for op in operators) == RESNET_50_MACS + stem * STEM_PIXELS
    batch_norm_channels = sum(op.out_channels for op in operators if op.kind == "convolution")
    weights_and_biases = sum(op.parameters for op in operators)
    # An operator has a bias per channel where batch norm has a scale and a shift; the stem has two norms more.
    assert weights_and_biases + batch_norm_channels == RESNET_50_PARAMETERS + stem + 2 * (32 + 32)
    assert weights_and_biases + batch_norm_channels == 25_576_264, "timm's resnet50d"


def test_the_space_is_the_published_one():
    space = get_space("resnet:imagenet")
    choices = {gene.name: gene.choices for gene in space.genes}
    assert choices["stem.width"] == (40, 48, 64)
    assert choices["stem.mid_width"] == (24, 32)
    assert [choices[f"stage{number}.depth"] for number in range(1, 5)] == [(2, 3, 4), (2, 3, 4), (4, 5, 6), (2, 3, 4)]
    assert choices["stage1.width"] == (168, 208, 256)
    assert choices["stage4.width"] == (1328, 1640, 2048)
    assert len(space.units) == 1 + 18 + 1
    assert {choices[f"{unit}.expand"] for unit in space.units[1:-1]} == {(0.2, 0.25, 0.35)}


def test_a_published_shape_is_decoded():
    space = get_space("resnet:imagenet")
    shape = space.network_shape(member(space, (2, 2, 4, 2), 0.35, residual=False))
    assert shape.stem == (64, 32, False)
    assert [block.mid_width for block in shape.blocks] == [88] * 2 + [176] * 2 + [360] * 4 + [720] * 2
    assert [block.stride for block in shape.blocks] == [1, 1, 2, 1, 2, 1, 1, 1, 2, 1]
    assert [block.pools for block in shape.blocks] == [block.stride == 2 for block in shape.blocks]
    assert [block.projects for block in shape.blocks] == [True, False] * 2 + [True] + [False] * 3 + [True, False]


def test_tiny_is_dense_convolutions():
    space = get_space("resnet:tiny")
    operators = space.operators(space.largest())
    assert {op.kind for op in operators} == {"convolution", "pool", "linear"}
    dense = sum(op.macs for op in operators if op.kernel == 3)
    assert dense > 0.95 * sum(op.macs for op in operators)


@given(resnets_with_genotypes)
def test_operators_of_a_block_chain_and_end_in_an_addition(drawn):
    space, raw = drawn
    genotype = space.canonical_row(raw)
    keys = space.unit_keys(genotype[None])[0]
    shape = space.network_shape(genotype)
    present = [unit for unit in range(1, len(space.units) - 1) if keys[unit] >= 0]
    assert [space.units[unit] for unit in present] == list(shape.block_units)
    (before, *_) = (op for op in space.unit_operators(0, keys[0])[::-1])
    for unit, block in zip(present, shape.blocks, strict=True):
        operators = [op for op in space.unit_operators(unit, keys[unit]) if op.kind in ("convolution", "pool")]
        shortcut, main = operators[: -len(block.convolutions)], operators[-len(block.convolutions) :]
        assert len(shortcut) == block.projects + block.pools
        for chain in (shortcut, main):
            for first, second in itertools.pairwise([before, *chain]):
                assert (first.out_channels, first.out_height, first.out_width) == (
                    second.in_channels,
                    second.in_height,
                    second.in_width,
                )
        if shortcut:
            assert (shortcut[-1].output_elements, shortcut[-1].out_width) == (
                main[-1].output_elements,
                main[-1].out_width,
            )
        assert [op.residual for op in main] == [False] * (len(main) - 1) + [True]
        before = main[-1]


@pytest.mark.parametrize(
    ("text", "word"), [("d=1", "values"), ("ks=3", "unknown"), ("d=1-1-1;r=28", "missing"), ("d=1-1-4", "stage3.depth")]
)
def test_a_wrong_string_names_what_is_wrong(text, word):
    with pytest.raises(InvalidGenotypeError, match=word):
        get_space("resnet:tiny").from_string(text)


def test_images_below_the_smallest_side_are_refused_by_size():
    with pytest.raises(UnsupportedTaskError, match="16x16"):
        ResNetSpace(resnet_config.TINY, TaskSpec.image_classification(channels=1, height=16, width=16, classes=10))


def test_a_summary_names_every_size():
    space = get_space("resnet:tiny")
    assert space.describe(space.smallest()) == "20px, stem 16ch, 3 blocks: 16ch e0.5 | 32ch e0.5 | 64ch e0.5"
    deep = get_space("resnet:imagenet")
    assert deep.describe(deep.largest()).startswith("224px, stem 32-64ch+1, 18 blocks: 256ch e0.35-0.35-0.35-0.35 | ")
