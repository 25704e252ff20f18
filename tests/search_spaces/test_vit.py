import itertools

import pytest
from hypothesis import given

from search_spaces.errors import UnsupportedTaskError
from search_spaces.fused_layers import layer_norm, linear, matmul, softmax
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec
from search_spaces.vit import TransformerBlockShape
from tests.search_spaces.strategies import vits_with_genotypes

SPACE = get_space("vit:tiny")


def test_a_product_of_activations_costs_what_its_matrices_cost():
    product = matmul(batch=4, m=49, n=9, k=16)
    assert product.macs == 4 * 49 * 9 * 16
    assert product.activation_bytes == 4 * 4 * (49 * 16 + 16 * 9 + 49 * 9)
    assert (product.parameters, product.weight_bytes) == (0, 0)


def test_rows_cost_their_elements_and_layer_norm_has_two_vectors():
    norm, row = layer_norm(80, 49), softmax(4 * 49, 49)
    assert (norm.parameters, norm.weight_bytes, norm.macs) == (160, 640, 0)
    assert norm.activation_bytes == 2 * 4 * 80 * 49
    assert (row.parameters, row.macs, row.activation_bytes) == (0, 0, 2 * 4 * 4 * 49 * 49)


def test_a_linear_layer_runs_over_each_token():
    one, many = linear(80, 240, "gelu"), linear(80, 240, "gelu", tokens=49)
    assert many.macs == 49 * one.macs == 49 * 80 * 240
    assert many.parameters == one.parameters == 80 * 240 + 240


def test_the_largest_block_has_the_published_macs():
    # Of a transformer block: tokens * (4 * width^2 + 2 * ratio * width^2) + 2 * tokens^2 * width (ViT, 2021).
    tokens, width, ratio, inner = 16, 160, 3, 128
    keys = SPACE.unit_keys(SPACE.largest()[None])[0]
    unit = SPACE.units.index("stage2.block3")
    macs = sum(op.macs for op in SPACE.unit_operators(unit, keys[unit]))
    assert macs == tokens * (4 * width * inner + 2 * ratio * width**2) + 2 * tokens**2 * inner


def test_the_space_has_the_sizes_that_its_documentation_states():
    largest = SPACE.operators(SPACE.largest())
    assert sum(op.macs for op in largest) == 24_167_440
    assert sum(op.parameters for op in largest) == 1_034_538
    shapes = SPACE.network_shape(SPACE.largest())
    assert [unit.tokens for unit in shapes.units.values() if isinstance(unit, TransformerBlockShape)] == [49] * 3 + [
        16
    ] * 3


@given(vits_with_genotypes)
def test_operators_of_a_unit_chain(drawn):
    space, raw = drawn
    genotype = space.canonical_row(raw)
    shape = space.network_shape(genotype)
    keys = space.unit_keys(genotype[None])[0].tolist()
    tokens = None
    for unit, key in enumerate(keys):
        if key < 0:
            assert space.units[unit] not in shape.units
            continue
        operators = space.unit_operators(unit, key)
        products = [op for op in operators if op.has_products]
        if space.units[unit] in space.block_of:
            assert operators[0].out_width == tokens
            assert [op.kind for op in products] == ["linear", "matmul", "matmul", "linear", "linear", "linear"]
            assert sum(op.residual for op in operators) == 2
            assert {op.bits for op in products if op.kind == "matmul"} == {32}
            assert len({op.bits for op in products if op.kind == "linear"}) == 1
        else:
            for first, second in itertools.pairwise(op for op in operators if op.kind in ("convolution", "depthwise")):
                assert (first.out_channels, first.out_height) == (second.in_channels, second.in_height)
        tokens = operators[-1].out_height * operators[-1].out_width
    assert space.from_string(space.to_string(genotype)).tolist() == genotype.tolist()


def test_integer_units_convert_around_each_float_part():
    quantized = SPACE.with_policy(SPACE.smallest(), "int8")
    unit = SPACE.units.index("stage1.block1")
    kinds = [op.kind for op in SPACE.unit_operators(unit, SPACE.unit_keys(quantized[None])[0][unit])]
    assert kinds.count("quantize") == kinds.count("dequantize") == 3
    assert kinds.count("elementwise") == 2
    assert kinds.index("softmax") > kinds.index("dequantize")


def test_images_below_the_smallest_side_are_refused_by_size():
    with pytest.raises(UnsupportedTaskError, match="16x30"):
        get_space("vit:tiny", TaskSpec.image_classification(channels=1, height=16, width=30, classes=10))


def test_a_summary_names_every_size():
    assert SPACE.describe(SPACE.smallest()) == "20px, 2 blocks: 48ch h2 m1 | 96ch h4 m1"
    assert SPACE.describe(SPACE.largest()) == "28px, 6 blocks: 80ch h4-4-4 m3-3-3 | 160ch h8-8-8 m3-3-3"
