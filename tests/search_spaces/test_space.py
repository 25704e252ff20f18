import json
import subprocess
import sys

import numpy as np
import pytest

from search_spaces.errors import InvalidGenotypeError, UnknownNameError
from search_spaces.registry import get_space, space_names


@pytest.fixture
def space():
    return get_space("mobilenet_v3:tiny")


def test_an_unknown_space_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="mobilenet_v3:tiny"):
        get_space("vgg")


def test_ids_are_equal_in_another_process(space):
    genotype = space.sample(1, np.random.default_rng(7))[0]
    code = (
        "import json,sys,numpy as np;from search_spaces.registry import get_space;"
        "print(get_space('mobilenet_v3:tiny').candidate(np.array(json.loads(sys.argv[1]))).id)"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, json.dumps(genotype.tolist())], capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == space.candidate(genotype).id


@pytest.mark.parametrize(
    "genotypes",
    [np.zeros((2, 3), dtype=np.int64), np.zeros(40, dtype=np.int64), np.zeros((1, 40)), np.full((1, 40), 99)],
)
def test_validate_refuses_shapes_types_and_ranges(space, genotypes):
    with pytest.raises(InvalidGenotypeError):
        space.validate(genotypes)


def test_validate_names_the_gene(space):
    genotypes = space.sample(3, np.random.default_rng(0))
    genotypes[1, 0] = 17
    with pytest.raises(InvalidGenotypeError, match="resolution of row 1 is 17"):
        space.validate(genotypes)


def test_values_outside_the_choices_are_refused_by_name(space):
    with pytest.raises(InvalidGenotypeError, match=r"stage1\.width is 17"):
        space.genotype({"stage1.width": 17})
    with pytest.raises(InvalidGenotypeError, match="no gene 'depth'"):
        space.genotype({"depth": 1})


def test_a_wrong_row_of_strings_is_named(space):
    good = space.to_string(space.smallest())
    with pytest.raises(InvalidGenotypeError, match="row 2"):
        space.from_strings([good, "nonsense"])


def test_a_policy_changes_precision_alone(space):
    quantized = space.with_policy(space.largest(), "int8")
    assert space.candidate(quantized).architecture == space.candidate(space.largest()).architecture
    assert set(space.candidate(quantized).policy.values()) == {"int8"}


@pytest.mark.parametrize("name", space_names())
@pytest.mark.parametrize("unit", ["x", "x;", "-", "|", "ks=", "+", "9-9;"])
def test_a_long_text_is_not_echoed_whole(name, unit):
    space = get_space(name)
    with pytest.raises(InvalidGenotypeError) as refusal:
        space.from_string(unit * 5000)
    assert len(str(refusal.value)) < 400


def test_an_unknown_name_is_not_echoed_whole():
    with pytest.raises(UnknownNameError) as refusal:
        get_space("x" * 5000)
    assert len(str(refusal.value)) < 300


def test_a_gene_and_its_value_are_not_echoed_whole(space):
    with pytest.raises(InvalidGenotypeError, match="has no gene") as refusal:
        space.genotype({"g" * 5000: 1})
    assert len(str(refusal.value)) < 200
    with pytest.raises(InvalidGenotypeError, match="allowed are") as refusal:
        space.genotype({space.genes[0].name: "v" * 5000})
    assert len(str(refusal.value)) < 300


def test_the_middle_network_lies_between_smallest_and_largest(space):
    middle = space.middle()
    assert (space.canonical_row(middle) == middle).all()
    assert space.unquantized(middle).tolist() == middle.tolist()
    macs = [sum(op.macs for op in space.operators(row)) for row in (space.smallest(), middle, space.largest())]
    assert macs == sorted(set(macs))
    assert (
        space.candidate(middle).architecture["stage1.block1.kernel"]
        in space.genes[space.gene_index["stage1.block1.kernel"]].choices
    )
