"""The state in a training checkpoint: weights, optimizer state, averaged weights."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nas.training.weight_average import WeightAverage


def pack_state(
    network: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage[Any] | None
) -> dict[str, Tensor]:
    """The tensors by name, sharing memory with the training."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{name}": tensor for name, tensor in average.state().items()}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state[parameter].items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{key}.{name}"] = value
    return tensors


def unpack_state(
    tensors: Mapping[str, Tensor],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage[Any] | None,
) -> None:
    """The inverse of :func:`pack_state`.

    Raises:
        RuntimeError: if weights are missing or of other shapes.
        KeyError: if the optimizer's state is of other parameters.
    """
    network.load_state_dict(_named(tensors, "network."))
    if average is not None:
        average.load(_named(tensors, "average."))
    parameters = dict(network.named_parameters())
    for name, tensor in _named(tensors, "optimizer.").items():
        key, _, parameter = name.partition(".")
        optimizer.state[parameters[parameter]][key] = tensor.to(parameters[parameter].device)


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
