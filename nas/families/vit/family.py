"""The vision transformer family; torch is imported where a network is built."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from nas.families.family import Family
from search_spaces.space import IntArray, SearchSpace, SpaceFactory
from search_spaces.vit import SPACES, ViTSpace

if TYPE_CHECKING:
    from nas.families.vit.static_network import ViTNetwork
    from nas.families.vit.supernet import ViTSupernet


class ViTFamily(Family):
    """See :class:`nas.families.family.Family`."""

    @property
    def name(self) -> str:
        """``vit``."""
        return "vit"

    @property
    def spaces(self) -> Mapping[str, SpaceFactory]:
        """See :mod:`search_spaces.vit_config`."""
        return SPACES

    def supernet(self, space: SearchSpace, *, seed: int = 0) -> "ViTSupernet":
        """See :class:`nas.families.family.Family`."""
        from nas.families.vit.supernet import ViTSupernet  # noqa: PLC0415 - torch takes seconds

        return ViTSupernet(cast("ViTSpace", space), seed=seed)

    def network(self, space: SearchSpace, genotype: IntArray) -> "ViTNetwork":
        """See :class:`nas.families.family.Family`."""
        from nas.families.vit.static_network import ViTNetwork  # noqa: PLC0415 - torch takes seconds

        return ViTNetwork(cast("ViTSpace", space), genotype)
