"""One network of a MobileNetV3 space as plain torch modules, to be evaluated and exported."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from nas.home import write_atomically
from nas.networks.layers import BottleneckShape, ConvUnit, InvertedResidual, global_mean
from nas.networks.network import UnitNetwork
from search_spaces.errors import NasError
from search_spaces.mobilenet_v3 import BlockShape, MobileNetV3Space, NetworkShape
from search_spaces.mobilenet_v3_config import Precision, squeeze_width
from search_spaces.space import IntArray


class Block(InvertedResidual):
    """Inverted bottleneck of one shape."""

    def __init__(self, shape: BlockShape) -> None:
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
        return self.classifier(self.act(self.feature(global_mean(self.expand(x)))))  # type: ignore[no-any-return]


class StaticNetwork(UnitNetwork):
    """One network; its units are ``stem``, ``first``, ``stage1.block1``, …, ``head``."""

    space: MobileNetV3Space
    stem: Stem
    head: Head

    def __init__(self, space: MobileNetV3Space, genotype: IntArray) -> None:
        super().__init__(space, genotype)
        shape = space.network_shape(self.genotype)
        task = space.task
        self.add_unit("stem", Stem(task.channels, shape.stem_width, (task.height, task.width), shape.resolution))
        for unit, block in zip(shape.block_units, shape.blocks, strict=True):
            self.add_unit(unit, Block(block))
        self.add_unit("head", Head(shape.blocks[-1].out_width, shape, task.classes))

    @classmethod
    def from_shape(cls, space: MobileNetV3Space, genotype: IntArray) -> "StaticNetwork":
        """An untrained network of a genotype, in evaluation mode."""
        return cls(space, genotype).eval()

    @property
    def precisions(self) -> Mapping[str, Precision]:
        """Each unit's precision by the policy's genes."""
        return self.space.network_shape(self.genotype).precisions


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
