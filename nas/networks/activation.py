"""Activation functions by their names in search spaces."""

from torch import Tensor, nn
from torch.nn import functional

from search_spaces.operators import Activation


def activate(x: Tensor, activation: Activation) -> Tensor:
    """Applies an activation."""
    match activation:
        case "relu":
            return functional.relu(x)
        case "hard_swish":
            return functional.hardswish(x)
        case "hard_sigmoid":
            return functional.hardsigmoid(x)
        case "gelu":
            return functional.gelu(x)
        case "none":
            return x


def activation_module(activation: Activation) -> nn.Module:
    """The same as a module, for static networks."""
    match activation:
        case "relu":
            return nn.ReLU()
        case "hard_swish":
            return nn.Hardswish()
        case "hard_sigmoid":
            return nn.Hardsigmoid()
        case "gelu":
            return nn.GELU()
        case "none":
            return nn.Identity()
