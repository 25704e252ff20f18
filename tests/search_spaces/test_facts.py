import numpy as np
import pytest
from hypothesis import given

from search_spaces.facts import FACTS, SUMMED, CostFacts, operator_facts
from tests.search_spaces.strategies import SPACES, spaces_with_genotypes


@given(spaces_with_genotypes)
def test_gathered_facts_are_the_sums_over_operators(drawn):
    space, raw = drawn
    genotype = space.canonical_row(raw)
    rows = np.array([operator_facts(operator) for operator in space.operators(genotype)])
    facts = CostFacts(space).of(genotype[None])[0]
    assert facts[: len(SUMMED)] == pytest.approx(rows[:, : len(SUMMED)].sum(axis=0))
    assert facts[len(SUMMED) :] == pytest.approx(rows[:, len(SUMMED) :].max(axis=0))


def test_a_population_gives_the_rows_of_its_members():
    space = SPACES[0]
    population = space.sample(64, np.random.default_rng(0))
    facts = CostFacts(space)
    together = facts.of(population)
    assert together.shape == (64, len(FACTS))
    for row, genotype in zip(together, population, strict=True):
        assert np.array_equal(row, facts.of(genotype[None])[0])


def test_an_integer_network_weighs_about_a_quarter():
    space = SPACES[0]
    facts = CostFacts(space)
    weights = [facts.column("weight_bytes", space.with_policy(space.largest(), p)[None])[0] for p in ("fp32", "int8")]
    assert weights[1] == pytest.approx(weights[0] / 4, rel=0.05)
