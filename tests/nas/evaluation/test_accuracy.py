import numpy as np
import pytest
import torch
from torch import nn

from nas.evaluation import accuracy, evaluate_subnet, predictions
from nas.families.registry import build_supernet
from search_spaces.errors import UsageError
from search_spaces.registry import get_space


def test_accuracy_is_the_share_of_right_classes_in_any_batching():
    network = nn.Flatten().train()
    images = torch.eye(4).reshape(4, 1, 2, 2)[[0, 1, 2, 3, 3]]
    labels = torch.tensor([0, 1, 2, 0, 3])
    for batch_size in (1, 2, 5, 100):
        assert accuracy(network, images, labels, batch_size=batch_size) == 0.8
    assert predictions(network, images).tolist() == [0, 1, 2, 3, 3]
    assert network.training


@pytest.mark.parametrize(("images", "labels"), [(0, 0), (2, 3)])
def test_counts_that_differ_are_refused(images, labels):
    with pytest.raises(UsageError, match=f"{images} images and {labels} labels"):
        accuracy(nn.Flatten(), torch.zeros(images, 1, 2, 2), torch.zeros(labels))


def test_a_sub_network_is_evaluated_alike_whatever_came_before_it():
    space = get_space("mobilenet_v3:tiny")
    supernet = build_supernet(space, seed=1)
    draw = torch.Generator().manual_seed(0)
    images, labels = torch.randn(60, 1, 28, 28, generator=draw), torch.arange(60) % 10

    def evaluate(genotype: np.ndarray) -> tuple[float, torch.Tensor]:
        network, share = evaluate_subnet(supernet, genotype, recalibration_images=images, images=images, labels=labels)
        with torch.no_grad():
            return share, network(images[:3])

    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    share, logits = evaluate(space.smallest())
    evaluate(space.largest())
    again, logits_again = evaluate(space.smallest())
    assert share == again
    assert logits.equal(logits_again)
    assert all(before[name].equal(value) for name, value in supernet.state_dict().items())
