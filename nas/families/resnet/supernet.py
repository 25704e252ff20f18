"""The weight-sharing supernet of a ResNet space."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.families.resnet.static_network import RESIDUAL_GAIN, ResNetNetwork, average_pool
from nas.networks.layers import scale_images
from nas.supernet.batch_shard import dropout as drop
from nas.supernet.elastic_linear import ElasticLinear
from nas.supernet.elastic_units import ElasticConvUnit
from nas.supernet.extraction import copy_weights
from nas.supernet.supernet import Supernet
from search_spaces.resnet import ResidualBlockShape, ResNetSpace, StemShape
from search_spaces.space import IntArray


class ElasticStem(nn.Module):
    """The stem at its largest size; the :class:`StemShape` of a call selects what runs."""

    def __init__(self, channels: int, largest: StemShape) -> None:
        super().__init__()
        mid = largest.mid_width
        self.first = ElasticConvUnit(channels, mid or largest.width, kernel=3, stride=2)
        self.middle = ElasticConvUnit(mid, mid, kernel=3) if mid else None
        self.last = ElasticConvUnit(mid, largest.width, kernel=3) if mid else None

    def forward(self, images: Tensor, shape: StemShape) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, shape.width, h', w')``."""
        x: Tensor = self.first(images, shape.mid_width or shape.width, "relu")
        x = x.contiguous(memory_format=torch.channels_last)
        if shape.residual and self.middle is not None:
            x = x + self.middle(x, shape.mid_width, "relu")
        if self.last is not None:
            x = functional.max_pool2d(self.last(x, shape.width, "relu"), 3, stride=2, padding=1)
        return x


class ElasticShortcut(nn.Module):
    """The shortcut of a block that changes width or size."""

    def __init__(self, largest: ResidualBlockShape) -> None:
        super().__init__()
        self.pool = average_pool(largest.stride) if largest.pools else None
        self.unit = ElasticConvUnit(largest.in_width, largest.out_width, stride=largest.shortcut_stride)

    def forward(self, x: Tensor, out_width: int) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, out_width, h', w')``."""
        y: Tensor = self.unit(x if self.pool is None else self.pool(x), out_width, "none")
        return y


class ElasticResidualBlock(nn.Module):
    """Residual block at its largest size; the :class:`ResidualBlockShape` of a call selects what runs."""

    def __init__(self, largest: ResidualBlockShape) -> None:
        super().__init__()
        self.shortcut = ElasticShortcut(largest) if largest.projects else None
        *inner, last = largest.convolutions
        self.inner = nn.ModuleList(
            ElasticConvUnit(each.in_channels, each.out_channels, kernel=each.kernel, stride=each.stride)
            for each in inner
        )
        self.last = ElasticConvUnit(last.in_channels, last.out_channels, kernel=last.kernel, gain=RESIDUAL_GAIN)

    def forward(self, x: Tensor, shape: ResidualBlockShape) -> Tensor:
        """From ``(n, shape.in_width, h, w)`` to ``(n, shape.out_width, h', w')``."""
        shortcut = x if self.shortcut is None else self.shortcut(x, shape.out_width)
        y = x
        for unit in self.inner:
            y = unit(y, shape.mid_width, "relu")
        return functional.relu(shortcut + self.last(y, shape.out_width, "none"))


class ElasticResNetHead(nn.Module):
    """Pooling and classifier."""

    def __init__(self, in_width: int, classes: int) -> None:
        super().__init__()
        self.classifier = ElasticLinear(in_width, classes)

    def forward(self, x: Tensor, dropout: float) -> Tensor:
        """From ``(n, c, h, w)`` to logits ``(n, classes)``."""
        features = x.mean((2, 3))
        if dropout and self.training:
            features = drop(features, dropout)
        logits: Tensor = self.classifier(features, self.classifier.weight.shape[0])
        return logits


class ResNetSupernet(Supernet):
    """See :class:`nas.supernet.supernet.Supernet`; weights are drawn from ``seed`` alone."""

    space: ResNetSpace

    def __init__(self, space: ResNetSpace, *, seed: int = 0) -> None:
        super().__init__(space)
        largest = space.network_shape(space.largest())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = ElasticStem(space.image.channels, largest.stem)
            self.blocks = nn.ModuleDict()
            for unit, shape in zip(largest.block_units, largest.blocks, strict=True):
                self.blocks[_module_name(unit)] = ElasticResidualBlock(shape)
            self.head = ElasticResNetHead(largest.blocks[-1].out_width, space.task.classes)

    def forward_as(self, genotype: IntArray, images: Tensor, dropout: float = 0.0) -> Tensor:
        """See :class:`nas.supernet.supernet.Supernet`."""
        shape = self.space.network_shape(genotype)
        x = self.stem(scale_images(images, shape.resolution), shape.stem)
        for unit, block in zip(shape.block_units, shape.blocks, strict=True):
            x = self.blocks[_module_name(unit)](x, block)
        logits: Tensor = self.head(x, dropout)
        return logits

    def extract(self, genotype: IntArray) -> ResNetNetwork:
        """See :class:`nas.supernet.supernet.Supernet`."""
        network = ResNetNetwork(self.space, genotype)
        copy_weights(self.stem, network.stem)
        for unit in network.units[1:-1]:
            copy_weights(self.blocks[_module_name(unit)], network.unit(unit))
        copy_weights(self.head, network.head)
        return network.eval()


def _module_name(unit: str) -> str:
    """A unit's key in the module dictionary, whose keys must not contain dots."""
    return unit.replace(".", "_")
