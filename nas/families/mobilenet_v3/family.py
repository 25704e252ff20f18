"""The MobileNetV3 family; torch is imported where a network is built."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from nas.families.family import Family
from search_spaces.mobilenet_v3 import SPACES, MobileNetV3Space
from search_spaces.space import IntArray, SearchSpace, SpaceFactory

if TYPE_CHECKING:
    from nas.families.mobilenet_v3.static_network import MobileNetV3Network
    from nas.families.mobilenet_v3.supernet import MobileNetV3Supernet


class MobileNetV3Family(Family):
    """See :class:`nas.families.family.Family`."""

    @property
    def name(self) -> str:
        """``mobilenet_v3``."""
        return "mobilenet_v3"

    @property
    def spaces(self) -> Mapping[str, SpaceFactory]:
        """See :mod:`search_spaces.mobilenet_v3_config`."""
        return SPACES

    def supernet(self, space: SearchSpace, *, seed: int = 0) -> "MobileNetV3Supernet":
        """See :class:`nas.families.family.Family`."""
        from nas.families.mobilenet_v3.supernet import MobileNetV3Supernet  # noqa: PLC0415 - torch takes seconds

        return MobileNetV3Supernet(cast("MobileNetV3Space", space), seed=seed)

    def network(self, space: SearchSpace, genotype: IntArray) -> "MobileNetV3Network":
        """See :class:`nas.families.family.Family`."""
        from nas.families.mobilenet_v3.static_network import MobileNetV3Network  # noqa: PLC0415 - torch takes seconds

        return MobileNetV3Network(cast("MobileNetV3Space", space), genotype)
