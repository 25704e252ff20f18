import numpy as np
import pytest
import torch

from nas.networks.building import build_network
from nas.quantization.onnx_export import capture, export_onnx
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")
VALUES = {"stage1.depth": 2, "stage2.squeeze_excite": True, "stage3.activation": "hard_swish"}


@pytest.fixture(scope="package")
def network():
    """A network with every kind of operator, folded, and with weights that matter."""
    torch.manual_seed(0)
    return build_network(SPACE, SPACE.genotype(VALUES)).deploy()


@pytest.fixture(scope="package")
def images():
    return np.random.default_rng(0).standard_normal((16, 1, 28, 28)).astype(np.float32)


@pytest.fixture(scope="package")
def float_onnx(network, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "float.onnx"
    export_onnx(capture(network, torch.from_numpy(images[:1])), network.units, path, task=network.space.task)
    return path
