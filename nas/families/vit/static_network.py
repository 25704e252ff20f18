"""One network of a vision transformer space as plain torch modules, to be evaluated and exported."""

from typing import Final

from torch import Tensor, nn

from nas.networks.attention import TokenLinear, attend
from nas.networks.layers import EPSILON, ConvUnit, scale_images
from nas.networks.network import UnitNetwork
from search_spaces.fused_layers import Size
from search_spaces.space import IntArray
from search_spaces.vit import EmbeddingShape, TransformerBlockShape, ViTSpace

RESIDUAL_SCALE: Final = 0.2
"""Of the last linear layer of each branch at the start: small branches train more steadily."""


class Convolutions(nn.Module):
    """The convolutions of an embedding, and the depthwise one that tells tokens their places."""

    def __init__(self, shape: EmbeddingShape) -> None:
        super().__init__()
        *first, last = shape.convolutions
        self.first = nn.Sequential(
            *(
                ConvUnit(each.in_channels, each.out_channels, activation="relu", kernel=each.kernel, stride=each.stride)
                for each in first
            )
        )
        self.last = ConvUnit(
            last.in_channels, last.out_channels, activation="none", kernel=last.kernel, stride=last.stride
        )
        width = shape.out_width
        self.positions = ConvUnit(width, width, activation="none", kernel=3, groups=width)

    def forward(self, images: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to tokens ``(n * h' * w', c')``."""
        x = self.last(self.first(images))
        return tokens_of(x + self.positions(x))


class ViTStem(nn.Module):
    """Scaling to the network's resolution, then the first embedding."""

    def __init__(self, shape: EmbeddingShape) -> None:
        super().__init__()
        self.resolution = shape.size
        self.convolutions = Convolutions(shape)

    def forward(self, images: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` in the data's size to tokens ``(n * h' * w', c')``."""
        tokens: Tensor = self.convolutions(scale_images(images, self.resolution))
        return tokens


class Embedding(nn.Module):
    """Fewer and wider tokens, for the next stage."""

    def __init__(self, shape: EmbeddingShape) -> None:
        super().__init__()
        self.size = shape.size
        self.convolutions = Convolutions(shape)

    def forward(self, x: Tensor) -> Tensor:
        """From tokens ``(n * h * w, c)`` to ``(n * h' * w', c')``."""
        tokens: Tensor = self.convolutions(image_of(x, self.size))
        return tokens


class Attention(nn.Module):
    """Self-attention of one shape."""

    def __init__(self, shape: TransformerBlockShape) -> None:
        super().__init__()
        self._tokens, self._heads = shape.tokens, shape.heads
        self.heads = TokenLinear(shape.width, 3 * shape.attention_width)
        self.project = TokenLinear(shape.attention_width, shape.width, scale=RESIDUAL_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        """Mixes the tokens of each image; keeps the shape ``(n * tokens, c)``."""
        projected: Tensor = self.project(attend(self.heads(x), tokens=self._tokens, heads=self._heads))
        return projected


class Mlp(nn.Module):
    """Two linear layers over each token, GELU between them."""

    def __init__(self, shape: TransformerBlockShape) -> None:
        super().__init__()
        self.expand = TokenLinear(shape.width, shape.hidden_width)
        self.act = nn.GELU()
        self.project = TokenLinear(shape.hidden_width, shape.width, scale=RESIDUAL_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape ``(n * tokens, c)``."""
        projected: Tensor = self.project(self.act(self.expand(x)))
        return projected


class TransformerBlock(nn.Module):
    """Transformer block of one shape; each branch starts with layer norm."""

    def __init__(self, shape: TransformerBlockShape) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(shape.width, eps=EPSILON)
        self.attention = Attention(shape)
        self.mlp_norm = nn.LayerNorm(shape.width, eps=EPSILON)
        self.mlp = Mlp(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape ``(n * tokens, c)``."""
        x = x + self.attention(self.attention_norm(x))
        y: Tensor = x + self.mlp(self.mlp_norm(x))
        return y


class ViTHead(nn.Module):
    """Layer norm, the mean of each image's tokens, classifier."""

    def __init__(self, width: int, tokens: int, classes: int) -> None:
        super().__init__()
        self._tokens = tokens
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """From tokens ``(n * tokens, c)`` to logits ``(n, classes)``."""
        logits: Tensor = self.classifier(mean_token(self.norm(x), self._tokens))
        return logits


class ViTNetwork(UnitNetwork):
    """One network; its units are ``stem``, ``stage1.block1``, …, ``stage2.embedding``, …, ``head``."""

    def __init__(self, space: ViTSpace, genotype: IntArray) -> None:
        super().__init__(space, genotype)
        shape = space.network_shape(self.genotype)
        for name, unit in shape.units.items():
            match unit:
                case TransformerBlockShape():
                    self.add_unit(name, TransformerBlock(unit))
                case EmbeddingShape():
                    self.add_unit(name, ViTStem(unit) if name == "stem" else Embedding(unit))
        self.add_unit("head", ViTHead(shape.width, shape.tokens, space.task.classes))


def tokens_of(images: Tensor) -> Tensor:
    """From ``(n, c, h, w)`` to ``(n * h * w, c)``."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def image_of(tokens: Tensor, size: Size) -> Tensor:
    """From ``(n * h * w, c)`` to ``(n, c, h, w)``."""
    return tokens.reshape(-1, *size, tokens.shape[1]).permute(0, 3, 1, 2)


def mean_token(tokens: Tensor, count: int) -> Tensor:
    """Of each image: from ``(n * count, c)`` to ``(n, c)``."""
    return tokens.reshape(-1, count, tokens.shape[1]).mean(1)
