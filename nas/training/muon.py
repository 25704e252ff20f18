"""Muon: momentum whose update is orthogonalized, for matrices (Jordan et al., 2024).

A matrix's update has all singular values near one, so that directions with small
gradients (in a supernet: channels that few networks use) learn as fast as the others.
All other parameters follow Adam. Updates of both have the same root mean square, so one
learning rate serves both (Liu et al., "Muon is scalable for LLM training", 2025).
"""

import math
from collections.abc import Iterable
from typing import Any, Final

import torch
from torch import Tensor

_COEFFICIENTS: Final = (3.4445, -4.7750, 2.0315)
_ITERATIONS: Final = 5
_UPDATE_RMS: Final = 0.2
"""Of Adam's updates in practice; those of matrices are scaled to it."""


def orthogonalize(matrix: Tensor) -> Tensor:
    """The matrix ``(m, n)`` with its singular values brought near one: 0.7 to 1.2, those of zero excepted.

    Five Newton-Schulz iterations of a quintic polynomial, in the matrix's own dtype.
    """
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    result: Tensor = x.T if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Muon for groups with ``matrices=True``, Adam with decoupled weight decay for the others.

    Parameters of matrix groups are seen as ``(first dimension, all others)``.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "betas": betas,
            "eps": eps,
            "weight_decay": 0.0,
            "matrices": False,
        }
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 - torch's signature
        """Updates every parameter that has a gradient."""
        for group in self.param_groups:
            update = self._matrix_update if group["matrices"] else self._adam_update
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update(parameter, group), alpha=-group["lr"])

    def _matrix_update(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        average = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        ahead = parameter.grad.lerp(average, group["momentum"])  # type: ignore[union-attr]
        matrix = ahead.reshape(len(parameter), -1)
        scale = _UPDATE_RMS * math.sqrt(max(matrix.shape))
        return (orthogonalize(matrix) * scale).reshape(parameter.shape)

    def _adam_update(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(parameter)
            state["square"] = torch.zeros_like(parameter)
        state["step"] += 1
        steps, (first, second) = float(state["step"]), group["betas"]
        mean = state["mean"].lerp_(parameter.grad, 1 - first) / (1 - first**steps)
        square = state["square"].lerp_(parameter.grad.square(), 1 - second) / (1 - second**steps)  # type: ignore[union-attr]
        update: Tensor = mean / (square.sqrt() + group["eps"])
        return update
