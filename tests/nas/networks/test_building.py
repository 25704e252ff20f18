"""Networks of every space: logits, folding, and cells that compute nothing."""

import numpy as np
import pytest
import torch

from nas.evaluation.batch_norm import recalibrate_batch_norm
from nas.networks.building import build_network
from nas.networks.layers import ChannelShuffle
from nas.networks.nasbench201 import Cell
from nas.workflows.population import population
from search_spaces.errors import InvalidGenotypeError
from search_spaces.nasbench201 import EDGES, OPERATIONS
from search_spaces.registry import get_space, space_names
from tests.nas.networks.spaces import ODD_SPACES, SMALL_SPACES, label

SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"


@pytest.mark.parametrize("name", space_names())
def test_every_space_has_networks(name):
    space = get_space(name)
    network = build_network(space, space.smallest())
    assert set(network.precisions) == set(network.units)
    with torch.no_grad():
        assert network(torch.zeros(2, *space.task.input.shape)).shape == (2, space.task.classes)


def drawn(space):
    pool = population(space, 0)
    rows = [space.smallest(), space.largest(), *pool[np.random.default_rng(1).integers(len(pool), size=2)]]
    # Each cell of skips alone multiplies by four: the widest range of values.
    return rows if space.name != "nasbench201" else [*rows, space.from_string(SKIPS)]


@pytest.mark.parametrize("space", SMALL_SPACES + ODD_SPACES, ids=label)
@torch.no_grad()
def test_folding_keeps_what_a_network_says(space):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, *space.task.input.shape, generator=generator, dtype=torch.float64)
    for genotype in drawn(space):
        torch.manual_seed(0)
        # In double precision: statistics of a few 1x1 images make a network that magnifies rounding.
        network = build_network(space, genotype).double()
        recalibrate_batch_norm(network, images)
        deployed = network.deploy()
        assert (network.folded, deployed.folded) == (False, True)
        said = network(images)
        assert said.std(dim=0).min() > 1e-4, "activations died out"
        assert (deployed(images) - said).abs().max() < 1e-9 * said.abs().max()


@torch.no_grad()
def test_a_cell_sums_what_its_string_says():
    operations = ("nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1", "none", "skip_connect", "nor_conv_3x3")
    torch.manual_seed(0)
    cell = Cell(8, operations).eval()
    x = torch.randn(2, 8, 6, 6)

    def applied(edge, value):
        name = f"edge{EDGES[edge][0]}{EDGES[edge][1]}"
        return cell.get_submodule(name)(value.clamp(min=0) if "conv" in operations[edge] else value)

    first = applied(0, x)
    second = applied(1, x) + applied(2, first)
    assert torch.allclose(cell(x), first + applied(5, second), atol=1e-6)
    corner = x[:, :, :2, :2].mean((2, 3))
    assert torch.allclose(applied(1, x)[:, :, 0, 0], corner, atol=1e-6), "padding does not count"


def test_a_cell_that_computes_nothing_is_refused():
    space = get_space("nasbench201")
    with pytest.raises(InvalidGenotypeError, match="computes nothing"):
        build_network(space, np.full(len(EDGES), OPERATIONS.index("none")))


def test_a_shuffle_deals_channels_to_every_group():
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert ChannelShuffle(2)(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]
