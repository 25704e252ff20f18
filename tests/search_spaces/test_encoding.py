import numpy as np
import pytest

from search_spaces.encoding import Encoding
from search_spaces.registry import get_space


@pytest.fixture(scope="module")
def encoding():
    return Encoding(get_space("mobilenet_v3:tiny"))


def test_one_column_a_choice_and_none_for_inactive_genes(encoding):
    space = encoding.space
    genotypes = space.sample(50, np.random.default_rng(0))
    rows = encoding.of(genotypes)
    assert rows.shape == (50, len(encoding.names))
    for genotype, row in zip(genotypes, rows, strict=True):
        several = {gene.name for gene in space.genes if len(gene.choices) > 1}
        wanted = {f"{name}={value}" for name, value in space.values(genotype).items() if name in several}
        assert {encoding.names[column] for column in np.flatnonzero(row)} == wanted


def test_names_are_unique(encoding):
    assert len(set(encoding.names)) == encoding.width
