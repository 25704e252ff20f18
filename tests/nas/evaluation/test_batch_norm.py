import numpy as np
import pytest
import torch
from torch import nn

from nas.evaluation import recalibrate_batch_norm
from nas.networks.building import build_network
from nas.networks.network import UnitNetwork
from search_spaces.errors import UsageError
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")


def network(space=SPACE) -> UnitNetwork:
    torch.manual_seed(0)
    return build_network(space, space.sample(1, np.random.default_rng(2))[0])


def test_statistics_are_the_sample_weighted_mean_of_the_batches():
    norm = nn.BatchNorm2d(3)
    norm.running_mean += 7
    images = torch.randn(25, 3, 4, 5) * 3 + 2
    recalibrate_batch_norm(norm, images, batch_size=10)
    batches = torch.tensor_split(images, 3)
    weights = [len(batch) / 25 for batch in batches]
    mean = sum(w * b.mean((0, 2, 3)) for w, b in zip(weights, batches, strict=True))
    variance = sum(w * b.var((0, 2, 3)) for w, b in zip(weights, batches, strict=True))
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)
    assert norm.momentum == 0.1
    assert norm.training


@pytest.mark.parametrize("space", [SPACE, get_space("vit:tiny")], ids=lambda space: space.name)
def test_earlier_statistics_do_not_matter_and_nothing_else_changes(space):
    images = torch.randn(30, 1, 28, 28)
    first, second = network(space), network(space)
    for module in second.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.fill_(9)
    before = {name: value.clone() for name, value in first.named_parameters()}
    for net in (first, second):
        recalibrate_batch_norm(net, images, batch_size=16)
        assert not any(module.training for module in net.modules())
    states = first.state_dict(), second.state_dict()
    assert all(states[0][name].equal(states[1][name]) for name in states[0])
    assert all(before[name].equal(value) for name, value in first.named_parameters())


def test_networks_without_batch_norm_are_left_alone():
    folded = network().deploy()
    before = {name: value.clone() for name, value in folded.state_dict().items()}
    recalibrate_batch_norm(folded, torch.randn(4, 1, 28, 28))
    assert all(before[name].equal(value) for name, value in folded.state_dict().items())


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_refused(count):
    with pytest.raises(UsageError, match=f"got {count} images"):
        recalibrate_batch_norm(network(), torch.zeros(count, 1, 28, 28))
