"""The weight-sharing supernet of a MobileNetV3 space."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.families.mobilenet_v3.static_network import MobileNetV3Network
from nas.networks.layers import scale_images
from nas.supernet.batch_shard import dropout as drop
from nas.supernet.elastic_linear import ElasticLinear
from nas.supernet.elastic_squeeze_excite import ElasticSqueezeExcite
from nas.supernet.elastic_units import ElasticConvUnit, ElasticDepthwiseUnit
from nas.supernet.extraction import copy_weights
from nas.supernet.supernet import Supernet
from search_spaces.mobilenet_v3 import InvertedBottleneckShape, MobileNetV3Shape, MobileNetV3Space
from search_spaces.space import IntArray


class ElasticInvertedBottleneck(nn.Module):
    """Inverted bottleneck at its largest size; the :class:`InvertedBottleneckShape` of a call selects what runs."""

    def __init__(self, largest: InvertedBottleneckShape, kernels: tuple[int, ...]) -> None:
        """Builds a block that runs as any part of ``largest``, with any of the kernel sizes."""
        super().__init__()
        hidden_width = largest.hidden_width
        self.expand = ElasticConvUnit(largest.in_width, hidden_width) if largest.expands else None
        self.depthwise = ElasticDepthwiseUnit(hidden_width, kernels, largest.stride)
        self.squeeze_excite = ElasticSqueezeExcite(hidden_width) if largest.squeeze_excite else None
        self.project = ElasticConvUnit(hidden_width, largest.out_width)

    def forward(self, x: Tensor, shape: InvertedBottleneckShape) -> Tensor:
        """From ``(n, shape.in_width, h, w)`` to ``(n, shape.out_width, h', w')``."""
        y = x
        if self.expand is not None:
            y = self.expand(y, shape.hidden_width, shape.activation)
        y = self.depthwise(y, shape.kernel, shape.activation)
        if shape.squeeze_excite and self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        y = self.project(y, shape.out_width, "none")
        total: Tensor = x + y if shape.skip else y
        return total


class ElasticFusedBlock(nn.Module):
    """The same for fused blocks, whose expansion is a dense convolution with the block's kernel."""

    def __init__(self, largest: InvertedBottleneckShape) -> None:
        super().__init__()
        hidden_width = largest.hidden_width
        self.expand = ElasticConvUnit(largest.in_width, hidden_width, kernel=largest.kernel, stride=largest.stride)
        self.squeeze_excite = ElasticSqueezeExcite(hidden_width) if largest.squeeze_excite else None
        self.project = ElasticConvUnit(hidden_width, largest.out_width)

    def forward(self, x: Tensor, shape: InvertedBottleneckShape) -> Tensor:
        """From ``(n, shape.in_width, h, w)`` to ``(n, shape.out_width, h', w')``."""
        y: Tensor = self.expand(x, shape.hidden_width, shape.activation)
        if shape.squeeze_excite and self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        y = self.project(y, shape.out_width, "none")
        total: Tensor = x + y if shape.skip else y
        return total


class ElasticMobileNetV3Head(nn.Module):
    """Last expansion, pooling, feature layer, classifier."""

    def __init__(self, in_width: int, final_width: int, feature_width: int, classes: int) -> None:
        super().__init__()
        self.expand = ElasticConvUnit(in_width, final_width)
        self.feature = ElasticLinear(final_width, feature_width)
        self.classifier = ElasticLinear(feature_width, classes)

    def forward(self, x: Tensor, shape: MobileNetV3Shape, dropout: float) -> Tensor:
        """From ``(n, c, h, w)`` to logits ``(n, classes)``."""
        pooled = self.expand(x, shape.final_width, "hard_swish").mean((2, 3))
        feature = functional.hardswish(self.feature(pooled, shape.feature_width))
        if dropout and self.training:
            feature = drop(feature, dropout)
        logits: Tensor = self.classifier(feature, self.classifier.weight.shape[0])
        return logits


class MobileNetV3Supernet(Supernet):
    """See :class:`nas.supernet.supernet.Supernet`; weights are drawn from ``seed`` alone."""

    space: MobileNetV3Space

    def __init__(self, space: MobileNetV3Space, *, seed: int = 0) -> None:
        super().__init__(space)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(space, space.largest_shape(fused=False))
            self.fused_blocks = nn.ModuleDict()
            fused = space.largest_shape(fused=True)
            for unit, shape in zip(fused.block_units, fused.blocks, strict=True):
                if shape.fused:
                    self.fused_blocks[_module_name(unit)] = ElasticFusedBlock(shape)

    def _build(self, space: MobileNetV3Space, largest: MobileNetV3Shape) -> None:
        config = space.config
        self.stem = ElasticConvUnit(space.image.channels, config.stem_width, kernel=3, stride=2)
        self.blocks = nn.ModuleDict()
        for unit, shape in zip(largest.block_units, largest.blocks, strict=True):
            kernels = (shape.kernel,) if unit == "first" else config.kernels
            self.blocks[_module_name(unit)] = ElasticInvertedBottleneck(shape, kernels)
        self.head = ElasticMobileNetV3Head(
            largest.blocks[-1].out_width, config.final_width, config.feature_width, space.task.classes
        )

    def block(self, unit: str, *, fused: bool) -> nn.Module:
        """The elastic block of a unit such as ``stage1.block2``; fused ones have weights of their own."""
        return (self.fused_blocks if fused else self.blocks)[_module_name(unit)]

    def forward_as(self, genotype: IntArray, images: Tensor, dropout: float = 0.0) -> Tensor:
        """See :class:`nas.supernet.supernet.Supernet`."""
        shape = self.space.network_shape(genotype)
        x = scale_images(images, shape.resolution)
        x = self.stem(x, shape.stem_width, "hard_swish").contiguous(memory_format=torch.channels_last)
        for unit, block in zip(shape.block_units, shape.blocks, strict=True):
            x = self.block(unit, fused=block.fused)(x, block)
        logits: Tensor = self.head(x, shape, dropout)
        return logits

    def extract(self, genotype: IntArray) -> MobileNetV3Network:
        """See :class:`nas.supernet.supernet.Supernet`."""
        network = MobileNetV3Network(self.space, genotype)
        copy_weights(self.stem, network.stem.unit)
        shape = self.space.network_shape(network.genotype)
        for unit, block in zip(shape.block_units, shape.blocks, strict=True):
            copy_weights(self.block(unit, fused=block.fused), network.unit(unit))
        copy_weights(self.head, network.head)
        return network.eval()


def _module_name(unit: str) -> str:
    """A unit's key in the module dictionary, whose keys must not contain dots."""
    return unit.replace(".", "_")
