"""One network of a MobileNetV3 space as plain torch modules, to be evaluated and exported."""

from torch import Tensor, nn
from torch.nn import functional

from nas.networks.layers import BottleneckShape, ConvUnit, InvertedResidual, SqueezeExcite, global_mean
from nas.networks.network import UnitNetwork
from search_spaces.mobilenet_v3 import InvertedBottleneckShape, MobileNetV3Shape, MobileNetV3Space
from search_spaces.mobilenet_v3_config import squeeze_width
from search_spaces.space import IntArray


class InvertedBottleneck(InvertedResidual):
    """Inverted bottleneck of one shape."""

    def __init__(self, shape: InvertedBottleneckShape) -> None:
        hidden = shape.hidden_width
        super().__init__(
            BottleneckShape(
                in_channels=shape.in_width,
                hidden=hidden,
                out_channels=shape.out_width,
                kernel=shape.kernel,
                stride=shape.stride,
                skip=shape.skip,
                expands=shape.expands,
                squeezed=squeeze_width(hidden) if shape.squeeze_excite else 0,
            ),
            activation=shape.activation,
        )


class FusedBlock(nn.Module):
    """Inverted bottleneck of one shape whose expansion is a dense convolution with the block's kernel."""

    def __init__(self, shape: InvertedBottleneckShape) -> None:
        super().__init__()
        hidden = shape.hidden_width
        self.skip = shape.skip
        self.expand = ConvUnit(
            shape.in_width, hidden, activation=shape.activation, kernel=shape.kernel, stride=shape.stride
        )
        self.squeeze_excite = SqueezeExcite(hidden, squeeze_width(hidden)) if shape.squeeze_excite else None
        self.project = ConvUnit(hidden, shape.out_width, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, c', h', w')``."""
        y = self.expand(x)
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        y = self.project(y)
        total: Tensor = x + y if self.skip else y
        return total


class MobileNetV3Stem(nn.Module):
    """Scaling to the network's resolution and the first convolution."""

    def __init__(self, channels: int, width: int, image_size: tuple[int, int], resolution: tuple[int, int]) -> None:
        super().__init__()
        self.resolution = resolution
        self.scales = image_size != resolution
        self.unit = ConvUnit(channels, width, activation="hard_swish", kernel=3, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` in the data's size to ``(n, width, h', w')``."""
        if self.scales:
            images = functional.interpolate(images, self.resolution, mode="bilinear", align_corners=False)
        y: Tensor = self.unit(images)
        return y


class MobileNetV3Head(nn.Module):
    """Last expansion, pooling, feature layer, classifier."""

    def __init__(self, in_width: int, shape: MobileNetV3Shape, classes: int) -> None:
        super().__init__()
        self.expand = ConvUnit(in_width, shape.final_width, activation="hard_swish")
        self.feature = nn.Linear(shape.final_width, shape.feature_width)
        self.act = nn.Hardswish()
        self.classifier = nn.Linear(shape.feature_width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to logits ``(n, classes)``."""
        logits: Tensor = self.classifier(self.act(self.feature(global_mean(self.expand(x)))))
        return logits


class MobileNetV3Network(UnitNetwork):
    """One network; its units are ``stem``, ``first``, ``stage1.block1``, …, ``head``."""

    space: MobileNetV3Space
    stem: MobileNetV3Stem
    head: MobileNetV3Head

    def __init__(self, space: MobileNetV3Space, genotype: IntArray) -> None:
        super().__init__(space, genotype)
        shape = space.network_shape(self.genotype)
        image = space.image
        self.add_unit(
            "stem", MobileNetV3Stem(image.channels, shape.stem_width, (image.height, image.width), shape.resolution)
        )
        for unit, block in zip(shape.block_units, shape.blocks, strict=True):
            self.add_unit(unit, FusedBlock(block) if block.fused else InvertedBottleneck(block))
        self.add_unit("head", MobileNetV3Head(shape.blocks[-1].out_width, shape, space.task.classes))
