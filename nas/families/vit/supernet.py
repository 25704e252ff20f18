"""The weight-sharing supernet of a vision transformer space."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.families.vit.static_network import RESIDUAL_SCALE, ViTNetwork, image_of, mean_token, tokens_of
from nas.networks.attention import TOKEN_SCALE
from nas.networks.layers import scale_images
from nas.supernet.batch_shard import dropout as drop
from nas.supernet.elastic_attention import ElasticAttention
from nas.supernet.elastic_layer_norm import ElasticLayerNorm
from nas.supernet.elastic_linear import ElasticLinear
from nas.supernet.elastic_units import ElasticConvUnit, ElasticDepthwiseUnit
from nas.supernet.extraction import copy_weights
from nas.supernet.supernet import Supernet
from search_spaces.space import IntArray
from search_spaces.vit import EmbeddingShape, TransformerBlockShape, ViTSpace


class ElasticConvolutions(nn.Module):
    """The convolutions of an embedding at their largest widths."""

    def __init__(self, largest: EmbeddingShape) -> None:
        super().__init__()
        *first, last = (
            ElasticConvUnit(each.in_channels, each.out_channels, kernel=each.kernel, stride=each.stride)
            for each in largest.convolutions
        )
        self.first = nn.ModuleList(first)
        self.last = last
        self.positions = ElasticDepthwiseUnit(largest.out_width, (3,), 1)

    def forward(self, images: Tensor, shape: EmbeddingShape) -> Tensor:
        """From ``(n, c, h, w)`` to tokens ``(n * h' * w', shape.out_width)``."""
        x = images
        for unit in self.first:
            x = unit(x, shape.mid_width, "relu").contiguous(memory_format=torch.channels_last)
        x = self.last(x, shape.out_width, "none")
        return tokens_of(x + self.positions(x, 3, "none"))


class ElasticEmbedding(nn.Module):
    """An embedding at its largest widths."""

    def __init__(self, largest: EmbeddingShape) -> None:
        super().__init__()
        self.convolutions = ElasticConvolutions(largest)


class ElasticMlp(nn.Module):
    """Two linear layers at their largest widths."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = ElasticLinear(channels, hidden, scale=TOKEN_SCALE)
        self.project = ElasticLinear(hidden, channels, scale=RESIDUAL_SCALE)

    def forward(self, x: Tensor, hidden: int) -> Tensor:
        """Keeps the shape ``(n * tokens, c)``."""
        projected: Tensor = self.project(functional.gelu(self.expand(x, hidden)), x.shape[1])
        return projected


class ElasticTransformerBlock(nn.Module):
    """Transformer block at its largest size; the :class:`TransformerBlockShape` of a call selects what runs."""

    def __init__(self, largest: TransformerBlockShape) -> None:
        super().__init__()
        self.attention_norm = ElasticLayerNorm(largest.width)
        self.attention = ElasticAttention(largest.width, largest.attention_width, scale=RESIDUAL_SCALE)
        self.mlp_norm = ElasticLayerNorm(largest.width)
        self.mlp = ElasticMlp(largest.width, largest.hidden_width)

    def forward(self, x: Tensor, shape: TransformerBlockShape) -> Tensor:
        """Keeps the shape ``(n * shape.tokens, shape.width)``."""
        normalized = self.attention_norm(x)
        x = x + self.attention(normalized, tokens=shape.tokens, heads=shape.heads, head_dim=shape.head_dim)
        y: Tensor = x + self.mlp(self.mlp_norm(x), shape.hidden_width)
        return y


class ElasticViTHead(nn.Module):
    """Layer norm, the mean of each image's tokens, classifier."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = ElasticLayerNorm(width)
        self.classifier = ElasticLinear(width, classes)

    def forward(self, x: Tensor, tokens: int, dropout: float) -> Tensor:
        """From tokens ``(n * tokens, c)`` to logits ``(n, classes)``."""
        features = mean_token(self.norm(x), tokens)
        if dropout and self.training:
            features = drop(features, dropout)
        logits: Tensor = self.classifier(features, self.classifier.weight.shape[0])
        return logits


class ViTSupernet(Supernet):
    """See :class:`nas.supernet.supernet.Supernet`; weights are drawn from ``seed`` alone."""

    space: ViTSpace

    def __init__(self, space: ViTSpace, *, seed: int = 0) -> None:
        super().__init__(space)
        largest = space.network_shape(space.largest())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embeddings, self.blocks = nn.ModuleDict(), nn.ModuleDict()
            for unit, shape in largest.units.items():
                match shape:
                    case TransformerBlockShape():
                        self.blocks[_module_name(unit)] = ElasticTransformerBlock(shape)
                    case EmbeddingShape():
                        self.embeddings[_module_name(unit)] = ElasticEmbedding(shape)
            self.head = ElasticViTHead(largest.width, space.task.classes)

    def forward_as(self, genotype: IntArray, images: Tensor, dropout: float = 0.0) -> Tensor:
        """See :class:`nas.supernet.supernet.Supernet`."""
        network = self.space.network_shape(genotype)
        x = scale_images(images, network.resolution)
        for unit, shape in network.units.items():
            match shape:
                case TransformerBlockShape():
                    x = self.blocks[_module_name(unit)](x, shape)
                case EmbeddingShape():
                    image = x if unit == "stem" else image_of(x, shape.size)
                    x = self._embedding(unit).convolutions(image, shape)
        logits: Tensor = self.head(x, network.tokens, dropout)
        return logits

    def extract(self, genotype: IntArray) -> ViTNetwork:
        """See :class:`nas.supernet.supernet.Supernet`."""
        network = ViTNetwork(self.space, genotype)
        for unit in network.units[:-1]:
            name = _module_name(unit)
            source = self.blocks[name] if name in self.blocks else self._embedding(unit)
            copy_weights(source, network.unit(unit))
        copy_weights(self.head, network.unit("head"))
        return network.eval()

    def _embedding(self, unit: str) -> ElasticEmbedding:
        module = self.embeddings[_module_name(unit)]
        assert isinstance(module, ElasticEmbedding)
        return module


def _module_name(unit: str) -> str:
    """A unit's key in a module dictionary, whose keys must not contain dots."""
    return unit.replace(".", "_")
