"""The ResNet family; torch is imported where a network is built."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from nas.families.family import Family
from search_spaces.resnet import SPACES, ResNetSpace
from search_spaces.space import IntArray, SearchSpace, SpaceFactory

if TYPE_CHECKING:
    from nas.families.resnet.static_network import ResNetNetwork
    from nas.families.resnet.supernet import ResNetSupernet


class ResNetFamily(Family):
    """See :class:`nas.families.family.Family`."""

    @property
    def name(self) -> str:
        """``resnet``."""
        return "resnet"

    @property
    def spaces(self) -> Mapping[str, SpaceFactory]:
        """See :mod:`search_spaces.resnet_config`."""
        return SPACES

    def supernet(self, space: SearchSpace, *, seed: int = 0) -> "ResNetSupernet":
        """See :class:`nas.families.family.Family`."""
        from nas.families.resnet.supernet import ResNetSupernet  # noqa: PLC0415 - torch takes seconds

        return ResNetSupernet(cast("ResNetSpace", space), seed=seed)

    def network(self, space: SearchSpace, genotype: IntArray) -> "ResNetNetwork":
        """See :class:`nas.families.family.Family`."""
        from nas.families.resnet.static_network import ResNetNetwork  # noqa: PLC0415 - torch takes seconds

        return ResNetNetwork(cast("ResNetSpace", space), genotype)
