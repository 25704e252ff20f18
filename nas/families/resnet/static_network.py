"""One network of a ResNet space as plain torch modules, to be evaluated and exported."""

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from nas.networks.layers import ConvUnit, global_mean, scale_images
from nas.networks.network import UnitNetwork
from search_spaces.fused_layers import Size
from search_spaces.resnet import ResidualBlockShape, ResNetSpace, StemShape
from search_spaces.space import IntArray

RESIDUAL_GAIN: Final = 0.2
"""Of the last batch norm of each block at the start.

With small residual branches, an untrained network does not magnify rounding, and trains more
steadily (compare the zeros of Goyal et al., 2017; zeros would leave nothing to quantize).
"""


class ResNetStem(nn.Module):
    """Scaling to the network's resolution and the first convolutions."""

    def __init__(self, channels: int, shape: StemShape, resolution: Size) -> None:
        super().__init__()
        self.resolution = resolution
        mid = shape.mid_width
        self.first = ConvUnit(channels, mid or shape.width, activation="relu", kernel=3, stride=2)
        self.middle = ConvUnit(mid, mid, activation="relu", kernel=3) if shape.residual else None
        self.last = ConvUnit(mid, shape.width, activation="relu", kernel=3) if mid else None

    def forward(self, images: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` in the data's size to ``(n, width, h', w')``."""
        x = self.first(scale_images(images, self.resolution))
        if self.middle is not None:
            x = x + self.middle(x)
        if self.last is not None:
            x = functional.max_pool2d(self.last(x), 3, stride=2, padding=1)
        features: Tensor = x
        return features


class Shortcut(nn.Module):
    """The shortcut of a block that changes width or size."""

    def __init__(self, shape: ResidualBlockShape) -> None:
        super().__init__()
        self.pool = average_pool(shape.stride) if shape.pools else None
        self.unit = ConvUnit(shape.in_width, shape.out_width, activation="none", stride=shape.shortcut_stride)

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, c', h', w')``."""
        y: Tensor = self.unit(x if self.pool is None else self.pool(x))
        return y


class ResidualBlock(nn.Module):
    """Residual block of one shape; ReLU follows the addition."""

    def __init__(self, shape: ResidualBlockShape) -> None:
        super().__init__()
        self.shortcut = Shortcut(shape) if shape.projects else None
        *inner, last = shape.convolutions
        self.inner = nn.Sequential(
            *(
                ConvUnit(each.in_channels, each.out_channels, activation="relu", kernel=each.kernel, stride=each.stride)
                for each in inner
            )
        )
        self.last = ConvUnit(last.in_channels, last.out_channels, activation="none", kernel=last.kernel)
        if isinstance(self.last.norm, nn.BatchNorm2d):
            nn.init.constant_(self.last.norm.weight, RESIDUAL_GAIN)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, c', h', w')``."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        y: Tensor = self.act(shortcut + self.last(self.inner(x)))
        return y


class ResNetHead(nn.Module):
    """Pooling and classifier."""

    def __init__(self, in_width: int, classes: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(in_width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to logits ``(n, classes)``."""
        logits: Tensor = self.classifier(global_mean(x))
        return logits


class ResNetNetwork(UnitNetwork):
    """One network; its units are ``stem``, ``stage1.block1``, …, ``head``."""

    stem: ResNetStem
    head: ResNetHead

    def __init__(self, space: ResNetSpace, genotype: IntArray) -> None:
        super().__init__(space, genotype)
        shape = space.network_shape(self.genotype)
        self.add_unit("stem", ResNetStem(space.image.channels, shape.stem, shape.resolution))
        for unit, block in zip(shape.block_units, shape.blocks, strict=True):
            self.add_unit(unit, ResidualBlock(block))
        self.add_unit("head", ResNetHead(shape.blocks[-1].out_width, space.task.classes))


def average_pool(stride: int) -> nn.AvgPool2d:
    """Averages squares of ``stride`` pixels; a last row or column that is cut off counts with what it has."""
    return nn.AvgPool2d(stride, stride=stride, ceil_mode=True, count_include_pad=False)
