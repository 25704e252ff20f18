"""MnasNet as torch modules; see :mod:`search_spaces.mnasnet`."""

from nas.networks.layers import ConvUnit, ExpandedHead, inverted_residual
from nas.networks.network import UnitNetwork
from search_spaces.mnasnet import HEAD_WIDTH, STEM_WIDTH, MnasnetSpace
from search_spaces.space import IntArray


class MnasnetNetwork(UnitNetwork):
    """Its units are ``stem``, ``stage1.block1``, …, ``head``."""

    def __init__(self, space: MnasnetSpace, genotype: IntArray) -> None:
        super().__init__(space, genotype)
        self.add_unit("stem", ConvUnit(space.image.channels, STEM_WIDTH, activation="relu", kernel=3, stride=2))
        channels = STEM_WIDTH
        keys = space.unit_keys(self.genotype[None])[0, 1:-1].tolist()
        for position, key in enumerate(keys):
            for number, block in enumerate(space.blocks(position, key), start=1):
                self.add_unit(f"stage{position + 1}.block{number}", inverted_residual(block))
                channels = block.out_channels
        self.add_unit("head", ExpandedHead(channels, HEAD_WIDTH, space.task.classes))
