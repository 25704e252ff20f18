"""Exponential moving average of a network's weights over the steps of a training."""

import copy
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

_RAMP_STEPS: Final = 10


class WeightAverage(Generic[Network]):
    """The averaged network; early steps are forgotten faster, so that the start leaves no trace."""

    def __init__(self, network: Network, decay: float) -> None:
        """``decay`` is the share of the average that a step keeps, 0 to below 1."""
        # The space is immutable and large: shared, not copied.
        space = getattr(network, "space", None)
        self.network = copy.deepcopy(network, {id(space): space})
        self._decay = decay
        self._averages = [parameter.data for parameter in self.network.parameters()]

    def update(self, network: Network, step: int) -> None:
        """Takes in the weights after a step, counted from 1."""
        decay = min(self._decay, step / (_RAMP_STEPS + step))
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, [p.data for p in network.parameters()], 1 - decay)

    def state(self) -> Mapping[str, Tensor]:
        """The averaged weights, and the buffers as they were at the start, by name."""
        return self.network.state_dict()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`state`."""
        self.network.load_state_dict(tensors)
