"""What holds for the genes, strings and operators of every space that a supernet shares weights over."""

import itertools

import numpy as np
from hypothesis import given

from search_spaces.precision import SPECS
from tests.search_spaces.strategies import convolutional_with_genotypes, spaces_with_genotypes


@given(spaces_with_genotypes)
def test_a_string_reads_back_as_the_same_network(drawn):
    space, raw = drawn
    genotype = space.canonical_row(raw)
    assert np.array_equal(space.from_string(space.to_string(raw)), genotype)


@given(spaces_with_genotypes)
def test_values_read_back_as_the_same_network(drawn):
    space, raw = drawn
    assert np.array_equal(space.genotype(space.values(space.canonical_row(raw))), space.canonical_row(raw))


@given(spaces_with_genotypes)
def test_inactive_genes_change_neither_id_nor_operators(drawn):
    space, raw = drawn
    inactive = ~space.active(raw[None])[0]
    other = np.where(inactive, (raw + 1) % space.cardinalities, raw)
    assert space.candidate(raw).id == space.candidate(other).id
    assert space.operators(space.canonical_row(raw)) == space.operators(space.canonical_row(other))


@given(convolutional_with_genotypes)
def test_conversions_stand_exactly_where_the_precision_changes(drawn):
    space, raw = drawn
    genotype = space.canonical_row(raw)
    precisions = list(space.unit_precisions(genotype).values())
    along = ["fp32", *precisions, "fp32"]
    changes = sum(SPECS[a].quantized != SPECS[b].quantized for a, b in itertools.pairwise(along))
    kinds = [operator.kind for operator in space.operators(genotype)]
    assert kinds.count("quantize") + kinds.count("dequantize") == changes
