"""NAS-Bench-201 as torch modules; see :mod:`search_spaces.nasbench201`.

Convolutions rectify their input (ReLU, convolution, batch norm). A node's rectified value
is computed once for all convolutions that take it, as compilers do.
"""

import torch
from torch import Tensor, nn

from nas.networks.layers import EPSILON, MOMENTUM, ConvUnit, global_mean
from nas.networks.network import UnitNetwork
from search_spaces.errors import InvalidGenotypeError
from search_spaces.nasbench201 import CELLS_PER_STAGE, EDGES, NODES, OPERATIONS, STAGE_WIDTHS, NasBench201Space
from search_spaces.space import IntArray


class Cell(nn.Module):
    """Four nodes; each but the first is the sum of its edges, which are named as genes are (``edge03``)."""

    def __init__(self, width: int, operations: tuple[str, ...]) -> None:
        super().__init__()
        self.edges = [
            (source, target, f"edge{source}{target}")
            for (source, target), operation in zip(EDGES, operations, strict=True)
            if operation != "none"
        ]
        for (_, _, name), operation in zip(self.edges, (o for o in operations if o != "none"), strict=True):
            self.add_module(name, _edge(operation, width))

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape ``(n, width, h, w)``."""
        nodes = {0: x}
        rectified: dict[int, Tensor] = {}
        for source, target, name in self.edges:
            edge, value = self.get_submodule(name), nodes[source]
            if isinstance(edge, ConvUnit):
                if source not in rectified:
                    rectified[source] = torch.relu(value)
                value = rectified[source]
            result = edge(value)
            nodes[target] = nodes[target] + result if target in nodes else result
        return nodes[NODES - 1]


def _edge(operation: str, width: int) -> nn.Module:
    match operation:
        case "skip_connect":
            return nn.Identity()
        case "avg_pool_3x3":
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        case "nor_conv_1x1":
            return ConvUnit(width, width, activation="none")
        case "nor_conv_3x3":
            return ConvUnit(width, width, activation="none", kernel=3)
        case _:
            raise InvalidGenotypeError(f"an edge of nasbench201 has no operation {operation!r}.")


class Reduction(nn.Module):
    """The residual block between two stages."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2, stride=2, ceil_mode=True, count_include_pad=False)
        # The benchmark's has no bias; as a fused kernel it takes one like all others.
        self.shortcut = nn.Conv2d(before, width, 1)
        self.first = ConvUnit(before, width, activation="relu", kernel=3, stride=2)
        self.second = ConvUnit(width, width, activation="none", kernel=3)

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, before, h, w)`` to ``(n, width, h / 2, w / 2)``, sides rounded up."""
        return self.shortcut(self.pool(x)) + self.second(self.first(torch.relu(x)))  # type: ignore[no-any-return]


class NasBench201Head(nn.Module):
    """Batch norm, which a sum of edges leaves nothing to fold into; ReLU, pooling, classifier."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, eps=EPSILON, momentum=MOMENTUM)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """From ``(n, width, h, w)`` to logits ``(n, classes)``."""
        return self.classifier(global_mean(torch.relu(self.norm(x))))  # type: ignore[no-any-return]


class NasBench201Network(UnitNetwork):
    """Its units are ``stem``, ``stage1.cell1``, …, ``reduction1``, …, ``head``."""

    def __init__(self, space: NasBench201Space, genotype: IntArray) -> None:
        """A network whose canonical cell is ``genotype``'s.

        Raises:
            InvalidGenotypeError: if no edge of the cell connects the input to the output.
        """
        super().__init__(space, genotype)
        if not space.connected(self.genotype[None])[0]:
            raise InvalidGenotypeError("this cell of nasbench201 computes nothing: no edge joins input and output.")
        operations = tuple(OPERATIONS[choice] for choice in self.genotype.tolist())
        self.add_unit("stem", ConvUnit(space.image.channels, STAGE_WIDTHS[0], activation="none", kernel=3))
        for stage, width in enumerate(STAGE_WIDTHS, start=1):
            if stage > 1:
                self.add_unit(f"reduction{stage - 1}", Reduction(STAGE_WIDTHS[stage - 2], width))
            for number in range(1, CELLS_PER_STAGE + 1):
                self.add_unit(f"stage{stage}.cell{number}", Cell(width, operations))
        self.add_unit("head", NasBench201Head(STAGE_WIDTHS[-1], space.task.classes))
