"""The weight-shared supernet of a MobileNetV3 space."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.networks.activation import activate
from nas.supernet.batch_shard import dropout as drop
from nas.supernet.elastic_batch_norm import ElasticBatchNorm
from nas.supernet.elastic_convolution import ElasticConvolution
from nas.supernet.elastic_depthwise import ElasticDepthwise
from nas.supernet.elastic_linear import ElasticLinear
from nas.supernet.elastic_squeeze_excite import ElasticSqueezeExcite
from search_spaces.mobilenet_v3 import BlockShape, MobileNetV3Space, NetworkShape
from search_spaces.operators import Activation
from search_spaces.space import IntArray


class ElasticConvUnit(nn.Module):
    """Dense convolution, batch norm, activation."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = ElasticConvolution(in_channels, out_channels, kernel=kernel, stride=stride)
        self.norm = ElasticBatchNorm(out_channels)

    def forward(self, x: Tensor, out_channels: int, activation: Activation) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, out_channels, h', w')``."""
        return activate(self.norm(self.conv(x, out_channels)), activation)


class ElasticDepthwiseUnit(nn.Module):
    """Depthwise convolution, batch norm, activation."""

    def __init__(self, channels: int, kernels: tuple[int, ...], stride: int) -> None:
        super().__init__()
        self.conv = ElasticDepthwise(channels, kernels, stride=stride)
        self.norm = ElasticBatchNorm(channels)

    def forward(self, x: Tensor, kernel: int, activation: Activation) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, c, h', w')``."""
        return activate(self.norm(self.conv(x, kernel)), activation)


class ElasticBlock(nn.Module):
    """Inverted bottleneck at its largest size; the :class:`BlockShape` of a call selects what runs."""

    def __init__(self, largest: BlockShape, kernels: tuple[int, ...]) -> None:
        """Builds a block that runs as any part of ``largest``, with any of the kernel sizes."""
        super().__init__()
        hidden_width = largest.hidden_width
        self.expand = ElasticConvUnit(largest.in_width, hidden_width) if largest.expands else None
        self.depthwise = ElasticDepthwiseUnit(hidden_width, kernels, largest.stride)
        self.squeeze_excite = ElasticSqueezeExcite(hidden_width) if largest.squeeze_excite else None
        self.project = ElasticConvUnit(hidden_width, largest.out_width)

    def forward(self, x: Tensor, shape: BlockShape) -> Tensor:
        """From ``(n, shape.in_width, h, w)`` to ``(n, shape.out_width, h', w')``."""
        y = x
        if self.expand is not None:
            y = self.expand(y, shape.hidden_width, shape.activation)
        y = self.depthwise(y, shape.kernel, shape.activation)
        if shape.squeeze_excite and self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        y = self.project(y, shape.out_width, "none")
        return x + y if shape.skip else y  # type: ignore[no-any-return]


class ElasticHead(nn.Module):
    """Last expansion, pooling, feature layer, classifier."""

    def __init__(self, in_width: int, final_width: int, feature_width: int, classes: int) -> None:
        super().__init__()
        self.expand = ElasticConvUnit(in_width, final_width)
        self.feature = ElasticLinear(final_width, feature_width)
        self.classifier = ElasticLinear(feature_width, classes)

    def forward(self, x: Tensor, shape: NetworkShape, dropout: float) -> Tensor:
        """From ``(n, c, h, w)`` to logits ``(n, classes)``."""
        pooled = self.expand(x, shape.final_width, "hard_swish").mean((2, 3))
        feature = functional.hardswish(self.feature(pooled, shape.feature_width))
        if dropout and self.training:
            feature = drop(feature, dropout)
        return self.classifier(feature, self.classifier.weight.shape[0])  # type: ignore[no-any-return]


class Supernet(nn.Module):
    """Every network of a space in one set of weights.

    One parameter per layer at its largest size; a sub-network uses the first channels
    of each and the first blocks of each stage. Starts as the largest sub-network;
    :meth:`use` chooses another. Weights are drawn from ``seed`` alone.
    """

    def __init__(self, space: MobileNetV3Space, *, seed: int = 0) -> None:
        super().__init__()
        self.space = space
        largest = space.network_shape(space.largest())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._build(space, largest)
        self._shape = largest

    def _build(self, space: MobileNetV3Space, largest: NetworkShape) -> None:
        config = space.config
        self.stem = ElasticConvUnit(space.task.channels, config.stem_width, kernel=3, stride=2)
        self.blocks = nn.ModuleDict()
        for unit, shape in zip(largest.block_units, largest.blocks, strict=True):
            kernels = (shape.kernel,) if unit == "first" else config.kernels
            self.blocks[_module_name(unit)] = ElasticBlock(shape, kernels)
        self.head = ElasticHead(
            largest.blocks[-1].out_width, config.final_width, config.feature_width, space.task.classes
        )

    @contextmanager
    def use(self, genotype: IntArray) -> Iterator["Supernet"]:
        """Runs as one sub-network inside the context; as before after it.

        Raises:
            InvalidGenotypeError: where the genotype is not of this space.
        """
        before = self._shape
        self._shape = self.space.network_shape(self.space.validate(genotype[None])[0])
        try:
            yield self
        finally:
            self._shape = before

    def block(self, unit: str) -> ElasticBlock:
        """The elastic block of a unit such as ``stage1.block2``."""
        block = self.blocks[_module_name(unit)]
        if not isinstance(block, ElasticBlock):  # pragma: no cover - ModuleDict forgets its values' type
            raise TypeError(unit)
        return block

    def forward(self, images: Tensor, dropout: float = 0.0) -> Tensor:
        """Logits ``(n, classes)`` of normalized images ``(n, c, h, w)``.

        Args:
            images: float32 in the data's own size.
            dropout: Share of features dropped before the classifier, in training only.
        """
        return self.forward_as(self._shape, images, dropout)

    def forward_as(self, shape: NetworkShape, images: Tensor, dropout: float = 0.0) -> Tensor:
        """As :meth:`forward` with the sub-network given: threads may run several at once."""
        x = scale_images(images, shape.resolution)
        x = self.stem(x, shape.stem_width, "hard_swish").contiguous(memory_format=torch.channels_last)
        for unit, block in zip(shape.block_units, shape.blocks, strict=True):
            x = self.block(unit)(x, block)
        return self.head(x, shape, dropout)  # type: ignore[no-any-return]


def _module_name(unit: str) -> str:
    """A unit's key in the module dictionary, whose keys must not contain dots."""
    return unit.replace(".", "_")


def scale_images(images: Tensor, resolution: tuple[int, int]) -> Tensor:
    """Bilinear, without antialiasing, half-pixel centres; the same tensor where nothing changes."""
    if tuple(images.shape[2:]) == resolution:
        return images
    return functional.interpolate(images, resolution, mode="bilinear", align_corners=False)
