"""Compiled networks of every family say what the torch modules say, in fp32 and in int8."""

from collections import Counter

import numpy as np
import onnx
import pytest

from hw_profiles.detect import detect_profiles
from hw_profiles.quantized_units import PRODUCTS, quantized_nodes, quantized_units, unit_of
from hw_profiles.runtimes.registry import get_runtime
from hw_profiles.runtimes.tvm_integer.graph import FloatSegment, float_units, read_graph
from hw_profiles.runtimes.tvm_integer.instructions import instructions_of
from hw_profiles.runtimes.tvm_integer.operators import (
    ActivationOperator,
    ConvolutionOperator,
    DequantizeOperator,
    QuantizeOperator,
)
from nas.measuring.preparation import NetworkPreparer
from nas.measuring.random_weights import RandomWeightSource
from search_spaces.precision import SPECS
from search_spaces.registry import get_space
from tests.nas.families.cases import CASES, ONE_PER_FAMILY, bound, label

PROFILES = {profile.runtime: profile for profile in detect_profiles()}
LARGE = [case for case in CASES if ":imagenet" in case[0] and case[1] == (3, 64, 64, 7)]
CASES_COMPILED = [*ONE_PER_FAMILY, *(pytest.param(case, marks=pytest.mark.slow) for case in LARGE)]

pytestmark = [
    pytest.mark.usefixtures("toy_family"),
    pytest.mark.filterwarnings("ignore"),  # the exporters' own deprecations
]


def prepared(space, genotype, folder):
    return NetworkPreparer(RandomWeightSource.from_space(space, folder)).prepare(genotype).network_files


def genotypes(space):
    """A network in fp32, in int8, and with a precision drawn for each unit."""
    genotype = space.sample(1, np.random.default_rng(3))[0]
    return {
        "fp32": space.with_policy(genotype, "fp32"),
        "int8": space.with_policy(genotype, "int8"),
        "mixed": genotype,
    }


@pytest.mark.parametrize("precision", ["fp32", "int8", "mixed"])
@pytest.mark.parametrize(
    "case", [*ONE_PER_FAMILY, *(pytest.param(c, marks=pytest.mark.slow) for c in LARGE)], ids=label
)
def test_both_runtimes_reproduce_the_network(case, precision, tmp_path):
    space = bound(case)
    files = prepared(space, genotypes(space)[precision], tmp_path)
    assert files.quantized == (precision != "fp32")
    for name, profile in PROFILES.items():
        runtime = get_runtime(name)
        runtime.prepare()
        runtime.check(runtime.load(runtime.compile(files, profile, tmp_path), profile), files)


@pytest.mark.parametrize("name", ["resnet:tiny", "mobilenet_v3:tiny-fused"])
def test_dense_convolutions_run_in_integers(name, tmp_path):
    space = get_space(name)
    genotype = space.with_policy(space.largest(), "int8")
    files = prepared(space, genotype, tmp_path)
    graph = read_graph(onnx.load(files.onnx), instructions_of(PROFILES["tvm"]))
    assert graph.reasons == ()
    assert not any(isinstance(step, FloatSegment) for step in graph.steps)
    convolutions = [step for step in graph.steps if isinstance(step, ConvolutionOperator)]
    operators = space.operators(genotype)
    assert len(convolutions) == sum(op.has_weights for op in operators)
    assert sum(step.residual is not None for step in convolutions) == sum(op.residual for op in operators)
    assert sum(step.weights.shape[2:] == (3, 3) for step in convolutions) == sum(op.kernel == 3 for op in operators)


@pytest.mark.parametrize(
    "case", [*ONE_PER_FAMILY, *(pytest.param(c, marks=pytest.mark.slow) for c in LARGE)], ids=label
)
def test_cost_facts_count_what_runs_in_integers(case, tmp_path):
    """Per unit, the products that its operators count in 8 bits are quantized nodes of the graph, and no others are."""
    space = bound(case)
    for number, genotype in enumerate((*space.sample(2, np.random.default_rng(5)), space.largest())):
        row = genotype if number < 2 else space.with_policy(genotype, "int8")
        precisions = space.unit_precisions(row)
        if not any(SPECS[one].quantized for one in precisions.values()):
            continue
        model = onnx.load(prepared(space, row, tmp_path).onnx)
        nodes = Counter(unit_of(node.name) for node in quantized_nodes(model) if node.op_type in PRODUCTS)
        stated = {
            unit: sum(op.has_weights and op.bits == 8 for op in space.unit_operators(place, key))
            for place, (unit, key) in enumerate(zip(space.units, space.unit_keys(row[None])[0].tolist(), strict=True))
            if key >= 0
        }
        assert stated == {unit: nodes[unit] for unit in stated}
        assert {unit for unit, count in stated.items() if count} == set(quantized_units(precisions))
        graph = read_graph(model, instructions_of(PROFILES["tvm"]))
        assert sum(isinstance(step, ConvolutionOperator) for step in graph.steps) == sum(stated.values())
        operators = space.operators(row)
        conversions = Counter(type(step) for step in graph.steps)
        # An average over the edge of an image with an odd side stays in float: the compiler says so, facts do not.
        over_edges = sum("reach over the edge" in reason for reason in graph.reasons)
        assert conversions[QuantizeOperator] - over_edges == sum(op.kind == "quantize" for op in operators)
        assert conversions[DequantizeOperator] - over_edges == sum(op.kind == "dequantize" for op in operators)
        assert float_units(model, precisions) == {}


def test_linear_layers_run_in_integers_and_attention_in_float(tmp_path):
    space = get_space("vit:tiny")
    genotype = space.with_policy(space.smallest(), "int8")
    files = prepared(space, genotype, tmp_path)
    graph = read_graph(onnx.load(files.onnx), instructions_of(PROFILES["tvm"]))
    assert graph.reasons == ()
    operators = space.operators(genotype)
    products = [step for step in graph.steps if isinstance(step, ConvolutionOperator)]
    assert len(products) == sum(op.has_weights for op in operators)
    tables = [step for step in graph.steps if isinstance(step, ActivationOperator)]
    assert len(tables) == sum(op.activation == "gelu" for op in operators)
    floats = {node.op_type for step in graph.steps if isinstance(step, FloatSegment) for node in step.nodes}
    assert {"LayerNormalization", "MatMul", "Softmax", "Add"} <= floats
    assert not {"Conv", "Gemm", "Gelu"} & floats
