import warnings
from pathlib import Path

import pytest

from hw_profiles.network_files import NetworkFiles
from tests.hw_profiles import networks


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="session")
def anchor(exported) -> NetworkFiles:
    return _quietly(networks.export, exported, "anchor", width=8)


@pytest.fixture(scope="session")
def network(exported) -> NetworkFiles:
    return _quietly(networks.export, exported, "network", width=16, resolution=20)


@pytest.fixture(scope="session")
def quantized_network(network, exported) -> NetworkFiles:
    return _quietly(networks.quantize, network, exported)


def _quietly(make, *args, **settings) -> NetworkFiles:
    with warnings.catch_warnings():  # the exporters' own deprecations
        warnings.simplefilter("ignore")
        return make(*args, **settings)
