"""Installs the toy family for the tests of this folder."""

import pytest

from tests.plugin.installing import installed_toy_family


@pytest.fixture(scope="package")
def toy_family(tmp_path_factory):
    with installed_toy_family(tmp_path_factory.mktemp("site-packages")) as folder:
        yield folder
