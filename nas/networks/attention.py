"""Self-attention over the tokens of an image (Vaswani et al., NeurIPS 2017).

Tokens of a batch are rows of one matrix ``(n * tokens, channels)``: a linear layer over them is one
matrix product, which exporters write as one node with its bias.
"""

from typing import Final

import torch
from torch import Tensor, nn

from nas.networks.layers import initialize_linear

TOKEN_SCALE: Final = 0.5**0.5
"""Of linear layers over tokens at the start: they keep the variance where no ReLU follows."""


class TokenLinear(nn.Linear):
    """A linear layer over tokens; ``scale`` is that of :func:`nas.networks.layers.initialize_linear`."""

    def __init__(self, in_features: int, out_features: int, *, scale: float = TOKEN_SCALE) -> None:
        self._scale = scale  # the base class initializes in its constructor
        super().__init__(in_features, out_features)

    def reset_parameters(self) -> None:
        """Draws the weights from torch's global generator."""
        initialize_linear(self.weight, self.bias, scale=self._scale)


def attend(projected: Tensor, *, tokens: int, heads: int) -> Tensor:
    """Each token's mean of the values of its image, weighted by the softmax of scaled products.

    Args:
        projected: Queries, keys and values side by side, ``(n * tokens, 3 * width)``; within each, the
            channels of one head after those of another.
        tokens: Of one image.
        heads: They share ``width`` equally.

    Returns:
        Shape ``(n * tokens, width)``.
    """
    width = projected.shape[1] // 3
    parts = torch.split(projected, width, dim=1)
    queries, keys, values = (part.reshape(-1, tokens, heads, width // heads) for part in parts)
    scaled = queries.permute(0, 2, 1, 3) * (width // heads) ** -0.5
    weights = (scaled @ keys.permute(0, 2, 3, 1)).softmax(-1)
    mixed: Tensor = weights @ values.permute(0, 2, 1, 3)
    return mixed.permute(0, 2, 1, 3).reshape(-1, width)
