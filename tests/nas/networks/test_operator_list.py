"""The operators that the spaces of recorded tables state are those of the real modules and the real graphs."""

from collections import Counter

import numpy as np
import onnx
import pytest
import torch

from nas.networks.building import build_network
from nas.networks.network import parameter_count
from nas.quantization.onnx_export import capture, export_onnx
from nas.workflows.population import population
from search_spaces.facts import CostFacts
from tests.nas.networks.executed_layers import executed, stated
from tests.nas.networks.spaces import ODD_SPACES, PUBLISHED_SPACES, SMALL_SPACES, label


def genotypes(space, count):
    """The smallest, the largest, and some that a calibration chooses from."""
    pool = population(space, 0)
    drawn = np.random.default_rng(0).choice(len(pool), count, replace=False)
    return [space.smallest(), space.largest(), *pool[drawn]]


def unfoldable_parameters(space):
    """The scale and shift of the last batch norm of nasbench201, which follows a sum of edges."""
    return 2 * 64 if space.name == "nasbench201" else 0


@pytest.mark.parametrize("space", SMALL_SPACES + ODD_SPACES + PUBLISHED_SPACES, ids=label)
def test_operators_equal_the_executed_layers(space):
    facts = CostFacts(space)
    for genotype in genotypes(space, 2 if space in PUBLISHED_SPACES else 6):
        network = build_network(space, genotype).deploy()
        layers = executed(network)
        assert Counter(layers) == Counter(stated(space.operators(genotype)))
        assert sum(layer[-2] for layer in layers) == facts.column("macs", genotype[None])[0]
        parameters = facts.column("parameters", genotype[None])[0]
        assert parameter_count(network) == parameters + unfoldable_parameters(space)


@pytest.mark.parametrize("space", SMALL_SPACES, ids=label)
def test_operators_without_weights_are_nodes_of_the_graph(space, tmp_path):
    for number, genotype in enumerate(genotypes(space, 1)[1:]):
        network = build_network(space, genotype).deploy()
        path = tmp_path / f"{number}.onnx"
        export_onnx(capture(network, torch.zeros(1, *space.task.input.shape)), network.units, path, task=space.task)
        graph = onnx.load(path).graph
        nodes = Counter(node.op_type for node in graph.node)
        operators = space.operators(genotype)
        light = Counter((op.kind, (op.out_height, op.out_width) == (1, 1)) for op in operators if not op.has_weights)
        copies = [op for op in operators if op.kind == "elementwise" and not op.residual]
        assert nodes["Conv"] + nodes["Gemm"] == sum(op.has_weights for op in operators)
        assert nodes["Add"] == sum(op.residual for op in operators)
        assert nodes["ReduceMean"] == light["pool", True]
        assert nodes["AveragePool"] == light["pool", False]
        assert nodes["Transpose"] + nodes["Mul"] == len(copies)
        assert {node.name.partition("/")[0] for node in graph.node} <= {"network", *network.units}
