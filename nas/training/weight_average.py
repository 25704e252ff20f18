"""Exponential moving average of a supernet's weights over the steps of a training."""

import copy
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from nas.supernet.supernet import Supernet

_RAMP_STEPS: Final = 10


class WeightAverage:
    """The averaged supernet; early steps are forgotten faster, so that the start leaves no trace."""

    def __init__(self, supernet: Supernet, decay: float) -> None:
        """``decay`` is the share of the average that a step keeps, 0 to below 1."""
        self.supernet = copy.deepcopy(supernet)
        self._decay = decay
        self._averages = [parameter.data for parameter in self.supernet.parameters()]

    def update(self, supernet: Supernet, step: int) -> None:
        """Takes in the weights after a step, counted from 1."""
        decay = min(self._decay, step / (_RAMP_STEPS + step))
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, [p.data for p in supernet.parameters()], 1 - decay)

    def state(self) -> Mapping[str, Tensor]:
        """The averaged weights by name."""
        return self.supernet.state_dict()

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`state`."""
        self.supernet.load_state_dict(tensors)
