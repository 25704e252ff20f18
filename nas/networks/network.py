"""The interface of a network of any space, for evaluation and export."""

import copy
from collections.abc import Mapping
from typing import Self

from torch import Tensor, nn

from nas.networks.layers import ConvUnit
from search_spaces.precision import Precision
from search_spaces.space import IntArray, SearchSpace


class UnitNetwork(nn.Module):
    """A network of one genotype: a chain of named units.

    Exported graphs keep the units' names, which are module paths such as
    ``stage1.block2``, as node scopes. Takes normalized float32 images ``(n, c, h, w)`` in
    the data's size. Two networks of one genotype have the same modules.
    """

    def __init__(self, space: SearchSpace, genotype: IntArray) -> None:
        """A network without units of a genotype ``(genes,)``; subclasses add them in order.

        Raises:
            InvalidGenotypeError: if the genotype is not of the space.
        """
        super().__init__()
        self.space = space
        self.genotype = space.canonical_row(space.validate(genotype[None])[0])
        self.units: tuple[str, ...] = ()

    @property
    def precisions(self) -> Mapping[str, Precision]:
        """Each unit's precision once deployed by the policy's genes; fp32 where a unit has none."""
        policy = self.space.unit_precisions(self.genotype)
        return {unit: policy.get(unit, "fp32") for unit in self.units}

    def add_unit(self, name: str, module: nn.Module) -> None:
        """Appends a unit to the chain."""
        parent, _, last = name.rpartition(".")
        if parent and parent not in dict(self.named_children()):
            self.add_module(parent, nn.Module())
        self.get_submodule(parent).add_module(last, module)
        self.units += (name,)

    def unit(self, name: str) -> nn.Module:
        """The module of a unit such as ``stage1.block2``."""
        return self.get_submodule(name)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of normalized images ``(n, c, h, w)``."""
        x = images
        for name in self.units:
            x = self.get_submodule(name)(x)
        return x

    @property
    def folded(self) -> bool:
        """Whether batch norm is part of the convolutions."""
        return not any(isinstance(module.norm, nn.BatchNorm2d) for module in self._conv_units())

    def fold_batch_norm(self) -> Self:
        """A copy in evaluation mode with batch norm folded into the convolutions."""
        # The space is immutable and large: shared, not copied.
        folded = copy.deepcopy(self, {id(self.space): self.space}).eval()
        for module in folded._conv_units():
            module.fold()
        return folded

    def deploy(self) -> Self:
        """What is exported: folded, in evaluation mode, without gradients."""
        return self.fold_batch_norm().requires_grad_(requires_grad=False)

    def _conv_units(self) -> list[ConvUnit]:
        return [module for module in self.modules() if isinstance(module, ConvUnit)]


def parameter_count(network: nn.Module) -> int:
    """Trained numbers in a network."""
    return sum(parameter.numel() for parameter in network.parameters())
