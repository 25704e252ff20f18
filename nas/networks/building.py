"""Builds the network of a genotype of any space."""

from nas.families.registry import family_of, has_supernet
from nas.networks.fbnet import FbnetNetwork
from nas.networks.mnasnet import MnasnetNetwork
from nas.networks.nasbench201 import NasBench201Network
from nas.networks.network import UnitNetwork
from search_spaces.errors import UsageError
from search_spaces.fbnet import FbnetSpace
from search_spaces.mnasnet import MnasnetSpace
from search_spaces.nasbench201 import NasBench201Space
from search_spaces.space import IntArray, SearchSpace


def build_network(space: SearchSpace, genotype: IntArray) -> UnitNetwork:
    """An untrained network in evaluation mode; its weights come from torch's global generator.

    Raises:
        InvalidGenotypeError: if the genotype ``(genes,)`` is not of the space, or computes nothing.
        UsageError: for a space whose networks cannot be built here.
    """
    match space:
        case NasBench201Space():
            network: UnitNetwork = NasBench201Network(space, genotype)
        case FbnetSpace():
            network = FbnetNetwork(space, genotype)
        case MnasnetSpace():
            network = MnasnetNetwork(space, genotype)
        case _ if has_supernet(space):
            network = family_of(space).network(space, genotype)
        case _:
            raise UsageError(f"networks of {space.name} cannot be built here.")
    return network.eval()


def with_genotype(network: UnitNetwork, genotype: IntArray) -> UnitNetwork:
    """A network with the same weights and another policy, in evaluation mode; shares no memory.

    Args:
        network: not folded.
        genotype: of the same architecture.
    """
    other = build_network(network.space, genotype)
    other.load_state_dict(network.state_dict())
    return other
