"""Searches that are held to a part of their space."""

import numpy as np
import pytest

from nas.search.design import designed_candidates
from nas.search.loop import SearchProblem, SearchSettings, run_search
from nas.search.methods import METHODS
from nas.search.restriction import Restriction, distinct_rows
from search_spaces.errors import UsageError
from tests.nas.search.test_loop import DESIGN, FITS, QUICK, SPACE, Landscape, Rows, Screened

UNIFORM = Restriction(precisions=("int8",))
SAMPLING = [method for method in METHODS if method not in ("architecture_then_policy", "integer_programming")]


def policies(rows):
    return [set(SPACE.unit_precisions(row).values()) for row in rows]


def run(method, restriction=None, *, rows=None, fits=FITS, design=DESIGN, unit_losses=None, evaluations=24):
    problem = SearchProblem(space=SPACE, design=design, evaluator=Landscape(), fits=fits, unit_losses=unit_losses)
    chosen = SearchSettings(
        evaluations=evaluations,
        batch_size=6,
        seed=1,
        method=method,
        evolution=QUICK,
        restriction=restriction or Restriction(),
    )
    return run_search(problem, rows if rows is not None else Rows(), chosen)


def losses(architectures):
    """A unit's sensitivity grows with its place; the last cannot be quantized."""
    each = np.zeros((len(architectures), len(SPACE.units), len(SPACE.precisions)))
    each[:, :, 1:] = np.arange(1, len(SPACE.units) + 1)[:, None]
    each[:, -1, 1:] = np.inf
    return each


@pytest.mark.parametrize("method", SAMPLING)
def test_every_method_keeps_to_a_uniform_policy(method):
    design = designed_candidates(SPACE, 8, 0, UNIFORM)
    found = run(method, UNIFORM, design=design)
    assert policies(found.genotypes) == [{"int8"}] * 24


def test_a_design_keeps_to_architectures_and_precisions():
    some = SPACE.unquantized(SPACE.sample(3, np.random.default_rng(0)))
    restriction = Restriction(architectures=some)
    rows = designed_candidates(SPACE, 9, 0, restriction)
    assert len(np.unique(rows, axis=0)) == 9
    assert restriction.allows(SPACE, rows).all()
    assert {row.tobytes() for row in SPACE.unquantized(rows)} <= {row.tobytes() for row in some}
    # A part of the space that is smaller than the design is given whole.
    both = Restriction(precisions=("fp32",), architectures=some)
    assert {row.tobytes() for row in designed_candidates(SPACE, 9, 0, both)} == {row.tobytes() for row in some}


def test_projection_is_the_nearest_and_leaves_what_is_allowed():
    rows = SPACE.sample(200, np.random.default_rng(2))
    some = SPACE.unquantized(rows[:5])
    restriction = Restriction(precisions=("fp32",), architectures=some)
    projected = restriction.project(SPACE, rows)
    assert np.array_equal(restriction.project(SPACE, projected), projected)
    columns = np.setdiff1d(np.arange(len(SPACE.genes)), SPACE.policy_columns)
    width = np.maximum(SPACE.cardinalities[columns] - 1, 1)
    for row, found in zip(rows, projected, strict=True):
        distances = [np.abs((row - one)[columns] / width).sum() for one in some]
        assert found.tobytes() == some[int(np.argmin(distances))].tobytes()
    assert np.array_equal(Restriction().project(SPACE, rows), rows)


@pytest.mark.parametrize(
    ("restriction", "words"),
    [
        (Restriction(precisions=("int3",)), "int3"),
        (Restriction(precisions=()), "no precision"),
        (Restriction(architectures=np.empty((0, len(SPACE.genes)), dtype=np.int64)), "no architecture"),
    ],
)
def test_restrictions_that_leave_nothing_are_refused(restriction, words):
    with pytest.raises(UsageError, match=words):
        run("hwnas", restriction)


def test_candidates_of_a_table_cannot_be_restricted_as_well():
    with pytest.raises(UsageError, match="restricted"):
        SearchSettings(evaluations=8, candidates=DESIGN, restriction=UNIFORM)


@pytest.mark.parametrize("method", ["architecture_then_policy", "integer_programming"])
def test_staged_searches_spend_half_in_float_and_half_on_policies_of_the_best(method):
    design = designed_candidates(SPACE, 6, 0, Restriction(precisions=("fp32",)))
    whole, budget = Rows(), {"fits": Screened(rounds=1).fits, "design": design, "evaluations": 15}
    found = run(method, rows=whole, unit_losses=losses, **budget)
    first, second = found.genotypes[:8], found.genotypes[8:]
    assert policies(first) == [{"fp32"}] * 8
    assert len(distinct_rows(found.genotypes)) == 15
    assert sum(one != {"fp32"} for one in policies(second)) == 7
    assert {row.tobytes() for row in SPACE.unquantized(second)} <= {row.tobytes() for row in first}
    if method == "integer_programming":
        assert all(SPACE.unit_precisions(row)["head"] == "fp32" for row in second)
    # Killed in the second half, it goes on as if it had not been.
    resumed = Rows(list(whole.written[:-1]))
    again = run(method, rows=resumed, unit_losses=losses, **budget)
    assert np.array_equal(again.genotypes, found.genotypes)


def test_integer_programming_that_gains_nothing_goes_on_in_float():
    def never(architectures):
        each = np.zeros((len(architectures), len(SPACE.units), len(SPACE.precisions)))
        each[:, :, 1:] = np.inf
        return each

    design = designed_candidates(SPACE, 6, 0, Restriction(precisions=("fp32",)))
    budget = {"fits": Screened(rounds=0).fits, "design": design, "evaluations": 12}
    found = run("integer_programming", unit_losses=never, **budget)
    assert policies(found.genotypes) == [{"fp32"}] * 12


def test_integer_programming_needs_sensitivities():
    with pytest.raises(UsageError, match="sensitivities"):
        run("integer_programming")
