import numpy as np
import pytest
import torch

from nas.families.registry import build_supernet
from nas.training.muon import Muon, orthogonalize
from nas.training.optimizer import make_optimizer
from nas.training.settings import TrainingSettings
from search_spaces.registry import get_space


@pytest.mark.parametrize("shape", [(8, 8), (4, 40), (40, 4), (1, 7), (16, 9)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    # Those far below the largest one have not yet grown after five iterations.
    large = values > 0.1 * values[0]
    found = u.T @ orthogonalize(matrix) @ v.T
    assert (found.diagonal()[large] > 0.5).all()
    assert (found.diagonal() < 1.3).all()
    torch.testing.assert_close(found, torch.diag(found.diagonal()), atol=1e-3, rtol=0)


def test_a_zero_gradient_changes_nothing():
    assert (orthogonalize(torch.zeros(3, 5)) == 0).all()


def test_updates_of_matrices_and_of_vectors_have_one_size():
    draw = torch.Generator().manual_seed(0)
    matrix, vector = (torch.nn.Parameter(torch.zeros(shape)) for shape in ((24, 60, 1, 1), (500,)))
    optimizer = Muon([{"params": [matrix], "matrices": True}, {"params": [vector]}], lr=0.1)
    for parameter in (matrix, vector):
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    optimizer.step()
    assert 0.015 < matrix.detach().square().mean().sqrt().item() < 0.025  # 0.2 of the learning rate
    np.testing.assert_allclose(vector.abs().detach(), 0.1, rtol=1e-3)  # Adam's first step is the sign


def test_a_parameter_without_gradient_stays():
    parameter = torch.nn.Parameter(torch.ones(3))
    Muon([{"params": [parameter], "weight_decay": 0.5}], lr=0.1).step()
    assert (parameter == 1).all()


def test_every_parameter_of_a_supernet_is_optimized_once():
    supernet = build_supernet(get_space("mobilenet_v3:tiny"))
    for name in ("sgd", "adamw", "muon"):
        optimizer = make_optimizer(supernet, TrainingSettings(optimizer=name))
        found = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        assert len(found) == len({id(parameter) for parameter in found}) == len(list(supernet.parameters()))
    matrices = {id(p) for group in optimizer.param_groups if group["matrices"] for p in group["params"]}
    names = {name for name, parameter in supernet.named_parameters() if id(parameter) in matrices}
    assert "head.feature.weight" in names
    assert not [name for name in names if "depthwise" in name or "norm" in name or "bias" in name]
