"""One network of a space as plain torch modules, to be evaluated and exported."""

import copy
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nas.home import write_atomically
from nas.supernet.activation import activation_module
from nas.supernet.elastic_batch_norm import EPSILON, MOMENTUM
from search_spaces.errors import NasError
from search_spaces.mobilenet_v3 import BlockShape, MobileNetV3Space, NetworkShape
from search_spaces.mobilenet_v3_config import squeeze_width
from search_spaces.operators import Activation
from search_spaces.space import IntArray


def _pooled(x: Tensor) -> Tensor:
    """Channel means of ``(n, c, h, w)``, shape ``(n, c)``.

    As a mean, since PyTorch exports its adaptive pooling with a gather behind it, which
    every device would run.
    """
    return x.mean((2, 3))


class ConvUnit(nn.Module):
    """Convolution, batch norm (until folded), activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        activation: Activation,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels, eps=EPSILON, momentum=MOMENTUM)
        self.act = activation_module(activation)

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, c', h', w')``."""
        return self.act(self.norm(self.conv(x)))  # type: ignore[no-any-return]

    def fold(self) -> None:
        """Moves batch norm into the convolution's weight and a bias."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv, self.norm)
            self.norm = nn.Identity()


class SqueezeExcite(nn.Module):
    """Scales channels by a gate from their means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, squeeze_width(channels))
        self.act = nn.ReLU()
        self.restore = nn.Linear(squeeze_width(channels), channels)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Scales ``(n, c, h, w)``."""
        hidden = self.act(self.reduce(_pooled(x)))
        return x * self.gate(self.restore(hidden))[:, :, None, None]  # type: ignore[no-any-return]


class Block(nn.Module):
    """Inverted bottleneck of one shape."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        hidden, activation = shape.hidden_width, shape.activation
        self.skip = shape.skip
        self.expand = ConvUnit(shape.in_width, hidden, activation=activation) if shape.expands else None
        self.depthwise = ConvUnit(
            hidden, hidden, activation=activation, kernel=shape.kernel, stride=shape.stride, groups=hidden
        )
        self.squeeze_excite = SqueezeExcite(hidden) if shape.squeeze_excite else None
        self.project = ConvUnit(hidden, shape.out_width, activation="none")

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to ``(n, c', h', w')``."""
        y = x if self.expand is None else self.expand(x)
        y = self.depthwise(y)
        if self.squeeze_excite is not None:
            y = self.squeeze_excite(y)
        y = self.project(y)
        return x + y if self.skip else y  # type: ignore[no-any-return]


class Stem(nn.Module):
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
        return self.unit(images)  # type: ignore[no-any-return]


class Head(nn.Module):
    """Last expansion, pooling, feature layer, classifier."""

    def __init__(self, in_width: int, shape: NetworkShape, classes: int) -> None:
        super().__init__()
        self.expand = ConvUnit(in_width, shape.final_width, activation="hard_swish")
        self.feature = nn.Linear(shape.final_width, shape.feature_width)
        self.act = nn.Hardswish()
        self.classifier = nn.Linear(shape.feature_width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, c, h, w)`` to logits ``(n, classes)``."""
        return self.classifier(self.act(self.feature(_pooled(self.expand(x)))))  # type: ignore[no-any-return]


class StaticNetwork(nn.Module):
    """One network; its modules carry the names of its units.

    ``stem``, ``first``, ``stage1.block1``, …, ``head``: exported graphs keep these names
    as node scopes. Takes normalized float32 images ``(n, c, h, w)`` in the data's size.
    """

    def __init__(self, space: MobileNetV3Space, genotype: IntArray) -> None:
        super().__init__()
        self.space = space
        self.genotype = space.canonical_row(space.validate(genotype[None])[0])
        shape = space.network_shape(self.genotype)
        task = space.task
        self.units = ("stem", *shape.block_units, "head")
        self.stem = Stem(task.channels, shape.stem_width, (task.height, task.width), shape.resolution)
        for unit, block in zip(shape.block_units, shape.blocks, strict=True):
            self._add(unit, Block(block))
        self.head = Head(shape.blocks[-1].out_width, shape, task.classes)

    @classmethod
    def from_shape(cls, space: MobileNetV3Space, genotype: IntArray) -> "StaticNetwork":
        """An untrained network of a genotype, in evaluation mode."""
        return cls(space, genotype).eval()

    def _add(self, unit: str, module: nn.Module) -> None:
        parent, _, name = unit.rpartition(".")
        if not parent:
            self.add_module(name, module)
            return
        if parent not in dict(self.named_children()):
            self.add_module(parent, nn.Module())
        self.get_submodule(parent).add_module(name, module)

    def unit(self, name: str) -> nn.Module:
        """The module of a unit such as ``stage1.block2``."""
        return self.get_submodule(name)

    @property
    def folded(self) -> bool:
        """Whether batch norm is part of the convolutions."""
        return not any(isinstance(module, nn.BatchNorm2d) for module in self.modules())

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of normalized images ``(n, c, h, w)``."""
        x = self.stem(images)
        for name in self.units[1:-1]:
            x = self.get_submodule(name)(x)
        return self.head(x)  # type: ignore[no-any-return]

    def fold_batch_norm(self) -> "StaticNetwork":
        """A copy in evaluation mode with batch norm folded into the convolutions."""
        # The space is immutable and large: shared, not copied.
        folded = copy.deepcopy(self, {id(self.space): self.space}).eval()
        for module in folded.modules():
            if isinstance(module, ConvUnit):
                module.fold()
        return folded

    def deploy(self) -> "StaticNetwork":
        """What is exported: folded, in evaluation mode, without gradients."""
        return self.fold_batch_norm().requires_grad_(requires_grad=False)


_FORMAT = "hwnas.network/1"


def save_network(network: StaticNetwork, path: Path) -> None:
    """Writes weights and genes as safetensors, atomically.

    Raises:
        DiskFullError: where the disk has no space.
    """
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    space = network.space
    metadata = {
        "format": _FORMAT,
        "space": space.name,
        "task": "x".join(str(v) for v in (*space.task.shape, space.task.classes)),
        "genes": space.to_string(network.genotype),
        "folded": str(network.folded).lower(),
    }
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))


def load_network(space: MobileNetV3Space, path: Path) -> StaticNetwork:
    """The network of a file by :func:`save_network`, in evaluation mode.

    Raises:
        NasError: where the file is missing, damaged, or of another space or task.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise NasError(f"{path} cannot be read as a network ({error}); export it again.") from error
    task = "x".join(str(v) for v in (*space.task.shape, space.task.classes))
    found = (metadata.get("format"), metadata.get("space"), metadata.get("task"))
    if found != (_FORMAT, space.name, task):
        raise NasError(f"{path} holds {found}; a network of {(_FORMAT, space.name, task)} was asked for.")
    network = StaticNetwork.from_shape(space, space.from_string(metadata["genes"]))
    if metadata["folded"] == "true":
        network = network.fold_batch_norm()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise NasError(f"{path} holds other tensors than its genes say; export it again.") from error
    return network


def parameter_count(network: nn.Module) -> int:
    """Trained numbers in a network."""
    return sum(parameter.numel() for parameter in network.parameters())


@torch.no_grad()
def copy_tensor(target: Tensor, source: Tensor) -> None:
    """Copies values; shapes must agree exactly, since broadcasting would hide a wrong slice."""
    if target.shape != source.shape:
        raise NasError(f"cannot copy a tensor of shape {tuple(source.shape)} into one of {tuple(target.shape)}.")
    target.copy_(source)
