import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.families.registry import build_supernet
from nas.networks.building import build_network
from nas.supernet.supernet import Supernet
from search_spaces.errors import InvalidGenotypeError
from search_spaces.mobilenet_v3 import MobileNetV3Space
from tests.nas.supernet.spaces import IMAGENET_SPACES, TINY_SPACES


def lived_in_supernet(space: MobileNetV3Space) -> Supernet:
    """A supernet none of whose tensors is at its initial value: shared statistics, learned transforms."""
    supernet = build_supernet(space, seed=1)
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in supernet.named_parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            if parameter.ndim == 1 or "transforms" in name:
                parameter.add_(0.1 * noise)
        for name, buffer in supernet.named_buffers():
            noise = torch.rand(buffer.shape, generator=draw)
            buffer.copy_(noise + 0.5 if name.endswith("var") else noise - 0.5)
    return supernet.eval()


SUPERNETS = {space: lived_in_supernet(space) for space in TINY_SPACES + IMAGENET_SPACES}


@torch.no_grad()
def check_equality(space: MobileNetV3Space, genotype: np.ndarray) -> None:
    supernet = SUPERNETS[space]
    images = torch.randn(2, *space.task.shape, generator=torch.Generator().manual_seed(3))
    with supernet.use(genotype):
        expected = supernet(images)
    network = supernet.extract(genotype)
    scale = float(expected.abs().max())
    assert expected.shape == (2, space.task.classes)
    assert float((network(images) - expected).abs().max()) <= 1e-5 * max(1.0, scale)
    assert float((network.deploy()(images) - expected).abs().max()) <= 1e-4 * max(1.0, scale)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), space=st.sampled_from(TINY_SPACES))
def test_extracted_networks_equal_the_supernet_in_tiny(data, space):
    genotype = np.array([data.draw(st.integers(0, int(top) - 1)) for top in space.cardinalities])
    check_equality(space, genotype)


@pytest.mark.parametrize("space", IMAGENET_SPACES, ids=lambda s: f"{s.task.height}x{s.task.width}")
def test_extracted_networks_equal_the_supernet_in_imagenet(space):
    rng = np.random.default_rng(0)
    for genotype in (space.smallest(), space.largest(), *space.sample(2, rng)):
        check_equality(space, genotype)


@pytest.mark.parametrize("space", TINY_SPACES, ids=lambda s: "x".join(map(str, s.task.shape)))
def test_smallest_and_largest_are_equal_too(space):
    check_equality(space, space.smallest())
    check_equality(space, space.largest())


def test_training_gradients_reach_every_parameter_and_the_network_shares_no_memory():
    space = TINY_SPACES[0]
    supernet = build_supernet(space).train()
    deep_and_thin = space.largest()
    for column, gene in enumerate(space.genes):
        if gene.name.endswith(("kernel", "width")):
            deep_and_thin[column] = 0
    for genotype in (space.largest(), deep_and_thin):
        with supernet.use(genotype):
            supernet(torch.randn(4, *space.task.shape)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in supernet.parameters())
    network = supernet.extract(space.largest())
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    assert all(before[name].equal(value) for name, value in supernet.state_dict().items())


def test_use_restores_the_sub_network_even_after_an_error():
    space = TINY_SPACES[0]
    supernet = SUPERNETS[space]
    images = torch.randn(1, *space.task.shape)
    with torch.no_grad():
        before = supernet(images)
        with supernet.use(space.smallest()):
            small = supernet(images)
            with pytest.raises(ZeroDivisionError), supernet.use(space.sample(1, np.random.default_rng(1))[0]):
                raise ZeroDivisionError
            assert supernet(images).equal(small)
        assert supernet(images).equal(before)
    with pytest.raises(InvalidGenotypeError), supernet.use(space.largest() + 9):
        raise AssertionError


def test_unit_names_are_module_names():
    space = TINY_SPACES[0]
    network = build_network(space, space.largest())
    assert network.units == space.units
    names = {name for name, _ in network.named_modules()}
    assert set(space.units) <= names
