import pytest
from safetensors.torch import load_file, save_file

from nas.networks.building import build_network
from nas.networks.weight_files import load_network, save_network
from search_spaces.errors import NasError
from search_spaces.registry import get_space
from search_spaces.task import TaskSpec

SPACE = get_space("mobilenet_v3:tiny", TaskSpec.image_classification(channels=3, height=24, width=37, classes=5))


def test_bad_network_files_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "network.safetensors"
    with pytest.raises(NasError, match="cannot be read as a network"):
        load_network(SPACE, path)
    save_network(build_network(SPACE, SPACE.smallest()), path)
    for other in (get_space("resnet:tiny", SPACE.task), get_space(SPACE.name)):
        with pytest.raises(NasError, match="not a network of"):
            load_network(other, path)
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    with pytest.raises(NasError, match="cannot be read as a network"):
        load_network(SPACE, path)
    path.write_bytes(content)
    tensors = load_file(path)
    save_file(tensors, path)
    with pytest.raises(NasError, match="not a network of"):
        load_network(SPACE, path)
