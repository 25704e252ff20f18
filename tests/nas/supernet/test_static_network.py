import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from nas.families.registry import build_supernet
from nas.networks.weight_files import load_network, save_network
from search_spaces.errors import NasError
from tests.nas.supernet.spaces import IMAGENET_SPACES, TINY_SPACES

SPACE = TINY_SPACES[2]


@pytest.mark.parametrize("folded", [False, True])
def test_a_saved_network_is_rebuilt_without_a_supernet(tmp_path, folded):
    genotype = SPACE.with_policy(SPACE.sample(1, np.random.default_rng(0)), "int8")[0]
    network = build_supernet(SPACE, seed=3).extract(genotype)
    network = network.deploy() if folded else network
    path = tmp_path / "network.safetensors"
    save_network(network, path)
    loaded = load_network(SPACE, path)
    assert loaded.folded == folded
    assert (loaded.genotype == genotype).all()
    images = torch.randn(2, *SPACE.task.shape)
    with torch.no_grad():
        assert loaded(images).equal(network(images))


def test_bad_network_files_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "network.safetensors"
    with pytest.raises(NasError, match="cannot be read as a network"):
        load_network(SPACE, path)
    save_network(build_supernet(SPACE).extract(SPACE.smallest()), path)
    with pytest.raises(NasError, match="was asked for"):
        load_network(IMAGENET_SPACES[0], path)
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    with pytest.raises(NasError, match="cannot be read as a network"):
        load_network(SPACE, path)
    path.write_bytes(content)
    tensors = load_file(path)
    save_file(tensors, path)
    with pytest.raises(NasError, match="was asked for"):
        load_network(SPACE, path)
