"""The optimizer of a training: which weights have weight decay, and which are matrices."""

import torch
from torch import nn

from nas.training.muon import Muon
from nas.training.settings import TrainingSettings


def make_optimizer(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimizer that the settings name, over a supernet's or a static network's parameters.

    Weight decay is for the weights of convolutions and linear layers alone: biases and batch
    norm have no scale to shrink; kernel transforms would shrink from the identity towards
    nothing. Muon orthogonalizes the updates of those weights except for depthwise ones, whose
    channels do not mix, and the classifier's.
    """
    matrices: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.ndim < 2 or ".transforms." in name:
            free.append(parameter)
        elif "depthwise" in name or "classifier" in name:
            decayed.append(parameter)
        else:
            matrices.append(parameter)
    decay, rate = settings.weight_decay, settings.learning_rate
    if settings.optimizer == "muon":
        return Muon(
            [
                {"params": matrices, "weight_decay": decay, "matrices": True},
                {"params": decayed, "weight_decay": decay},
                {"params": free},
            ],
            lr=rate,
        )
    groups = [{"params": [*matrices, *decayed], "weight_decay": decay}, {"params": free, "weight_decay": 0.0}]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    return torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)
