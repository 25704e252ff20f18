"""FBNet as torch modules; see :mod:`search_spaces.fbnet`."""

from nas.networks.layers import ConvUnit, ExpandedHead, inverted_residual
from nas.networks.network import UnitNetwork
from search_spaces.fbnet import STEM_WIDTH, FbnetSpace
from search_spaces.space import IntArray


class FbnetNetwork(UnitNetwork):
    """Its units are ``stem``, ``layer1``, …, ``head``; layers that are identities are left out."""

    def __init__(self, space: FbnetSpace, genotype: IntArray) -> None:
        super().__init__(space, genotype)
        stem = ConvUnit(space.image.channels, STEM_WIDTH, activation="relu", kernel=3, stride=space.stem_stride)
        self.add_unit("stem", stem)
        for position, (layer, choice) in enumerate(zip(space.layers, self.genotype.tolist(), strict=True)):
            block, name = space.block(position, choice), f"layer{position + 1}"
            if block is not None:
                self.add_unit(name, inverted_residual(block))
            elif not layer.keeps_shape:
                unit = ConvUnit(layer.in_channels, layer.out_channels, activation="relu", stride=layer.stride)
                self.add_unit(name, unit)
        self.add_unit("head", ExpandedHead(space.layers[-1].out_channels, space.head_width, space.task.classes))
