"""Networks on disk: weights and genes as safetensors."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from nas.home import write_atomically
from nas.networks.building import build_network
from nas.networks.network import UnitNetwork
from search_spaces.errors import NasError
from search_spaces.space import SearchSpace

_FORMAT = "hwnas.network/1"


def save_network(network: UnitNetwork, path: Path) -> None:
    """Writes weights and genes as safetensors, atomically.

    Raises:
        DiskFullError: if the disk has no space.
    """
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    space = network.space
    metadata = {
        "format": _FORMAT,
        "space": space.name,
        "task": space.task.dimensions,
        "genes": space.to_string(network.genotype),
        "folded": str(network.folded).lower(),
    }
    write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))


def load_network(space: SearchSpace, path: Path) -> UnitNetwork:
    """The network of a file by :func:`save_network`, in evaluation mode.

    Raises:
        NasError: if the file is missing, damaged, or of another space or task.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise NasError(f"{path} cannot be read as a network ({error}); export it again.") from error
    task = space.task.dimensions
    found = (metadata.get("format"), metadata.get("space"), metadata.get("task"))
    if found != (_FORMAT, space.name, task):
        raise NasError(f"{path} holds {found}, not a network of {(_FORMAT, space.name, task)}.")
    network = build_network(space, space.from_string(metadata["genes"]))
    if metadata["folded"] == "true":
        network = network.fold_batch_norm()
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise NasError(f"{path} has other tensors than its genes require; export it again.") from error
    return network
