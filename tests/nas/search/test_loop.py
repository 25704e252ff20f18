"""The loop on a landscape whose figures follow from cost facts: exact, instant, and hard enough."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from nas.metrics import Constraints, Objectives
from nas.search.design import designed_candidates
from nas.search.evolution import EvolutionSettings
from nas.search.generation import Generation
from nas.search.loop import SearchProblem, SearchSettings, run_search
from nas.search.outcome import Outcome
from nas.search.pareto import hypervolume
from nas.search.proposal import PredictorFits, Screening
from nas.search.study import trials_from_generations
from predictors.accuracy import AccuracyPredictor
from predictors.known_accuracy import KnownAccuracies
from predictors.latency import LatencyPredictor
from search_spaces.errors import NasError, UsageError
from search_spaces.facts import CostFacts
from search_spaces.registry import get_space

SPACE = get_space("mobilenet_v3:tiny")
DESIGN = designed_candidates(SPACE, 12, seed=0)
FITS = PredictorFits(
    latency=lambda genotypes, values: LatencyPredictor.fit(SPACE, genotypes, values, seed=0),
    accuracy=lambda genotypes, values: AccuracyPredictor.fit(SPACE, genotypes, values, seed=0),
)
OPTUNAS_OWN = ("nsga2", "tpe", "random")
QUICK = EvolutionSettings(population=60, generations=10)


class Landscape:
    """Latency grows with work and launches, accuracy saturates in parameters and resolution."""

    def __init__(self, fails=frozenset()):
        self.facts = CostFacts(SPACE)
        self.fails = fails
        self.evaluated = []

    def evaluate(self, genotypes):
        names = ("macs", "kernels", "parameters", "weight_bytes")
        macs, kernels, parameters, weights = (self.facts.column(name, genotypes) for name in names)
        p50 = 0.02 + macs / 4e7 + kernels * 0.002
        accuracy = 0.93 - 0.6 / np.log10(macs * parameters / 1e8) ** 2
        outcomes = []
        for row, genotype in enumerate(genotypes):
            candidate_id = SPACE.candidate(genotype).id
            self.evaluated.append(candidate_id)
            if genotype[0] in self.fails:
                outcomes.append(Outcome(candidate_id=candidate_id, failure="no such kernel"))
                continue
            outcomes.append(
                Outcome(
                    candidate_id=candidate_id,
                    metrics={
                        "accuracy": float(accuracy[row]),
                        "latency_p50_ms": float(p50[row]),
                        "latency_p95_ms": float(p50[row] * 1.1),
                        "size_bytes": float(weights[row]),
                    },
                )
            )
        return outcomes


@dataclass
class Rows:
    written: list = field(default_factory=list)

    def generations(self):
        return list(self.written)

    def append(self, generation):
        self.written.append(generation)


class Screened:
    """Fits that may look at the landscape's float accuracies; ``looks`` holds each look's architectures."""

    def __init__(self, size=12, rounds=2):
        self.looks = []
        self.rounds = rounds
        start = SPACE.unquantized(DESIGN)
        self.fits = PredictorFits(
            latency=FITS.latency,
            accuracy=FITS.accuracy,
            screening=Screening(
                known=self.known(np.unique(start, axis=0)), evaluate=self.known, size=size, rounds=rounds
            ),
        )

    def known(self, genotypes):
        self.looks.append([row.tobytes() for row in genotypes])
        accuracy = np.array([outcome.accuracy_val for outcome in Landscape().evaluate(genotypes)])
        return KnownAccuracies(space=SPACE, genotypes=genotypes, accuracy=accuracy)


def search(landscape, rows, fits, chosen):
    return run_search(SearchProblem(space=SPACE, design=DESIGN, evaluator=landscape, fits=fits), rows, chosen)


def settings(**changes):
    return SearchSettings(**({"evaluations": 28, "batch_size": 8, "seed": 1, "evolution": QUICK} | changes))


def dominated_volume(result):
    good = [o for o in result.outcomes if o.succeeded]
    names = Objectives().names
    points = Objectives().losses({name: np.array([o.metrics[name] for o in good]) for name in names})
    return hypervolume(points, np.array([0.0, 1.0]))


def test_the_budget_is_spent_exactly_on_distinct_candidates():
    landscape, rows = Landscape(), Rows()
    result = search(landscape, rows, FITS, settings())
    assert [len(g.genotypes) for g in rows.written] == [12, 8, 8]
    assert len(set(landscape.evaluated)) == len(landscape.evaluated) == 28
    assert np.array_equal(result.genotypes, SPACE.canonicalize(result.genotypes))


def test_a_resumed_search_is_the_uninterrupted_one():
    whole = search(Landscape(), Rows(), FITS, settings())
    rows = Rows()
    search(Landscape(), rows, FITS, settings(evaluations=20))
    again = Landscape()
    resumed = search(again, rows, FITS, settings())
    assert np.array_equal(whole.genotypes, resumed.genotypes)
    assert len(again.evaluated) == 8


def test_guidance_beats_random_with_the_same_budget():
    volumes = {
        method: [
            dominated_volume(search(Landscape(), Rows(), FITS, settings(seed=seed, method=method)))
            for seed in (1, 2, 3)
        ]
        for method in ("hwnas", "random")
    }
    assert min(volumes["hwnas"]) > max(volumes["random"])


def test_only_screened_architectures_are_evaluated_for_real():
    screened, rows = Screened(), Rows()
    search(Landscape(), rows, screened.fits, settings())
    start, *looks = screened.looks
    batches = [looks[at : at + screened.rounds] for at in range(0, len(looks), screened.rounds)]
    assert len(batches) == 2
    for batch in batches:  # a batch's rounds look at nothing that is known before it, and at nothing twice
        seen = [*start, *(row for look in batch for row in look)]
        assert len(set(seen)) == len(seen) > len(start)
    proposed = np.concatenate([generation.genotypes for generation in rows.written[1:]])
    assert len(proposed) == 16
    assert {row.tobytes() for row in SPACE.unquantized(proposed)} <= {row for look in screened.looks for row in look}


def test_a_resumed_search_screens_the_same():
    whole = search(Landscape(), Rows(), Screened().fits, settings())
    rows = Rows()
    search(Landscape(), rows, Screened().fits, settings(evaluations=20))
    resumed = search(Landscape(), rows, Screened().fits, settings())
    assert np.array_equal(whole.genotypes, resumed.genotypes)


@pytest.mark.parametrize(("method", "sizes"), [("linas", [12, 8, 8]), *((m, [8, 8, 8, 4]) for m in OPTUNAS_OWN)])
def test_baselines_run_through_the_same_loop_and_resume(method, sizes):
    whole, rows = Rows(), Rows()
    search(Landscape(), whole, FITS, settings(method=method))
    assert [len(g.genotypes) for g in whole.written] == sizes
    rows.written = whole.written[:2]
    search(Landscape(), rows, FITS, settings(method=method))
    assert all(np.array_equal(a.genotypes, b.genotypes) for a, b in zip(whole.written, rows.written, strict=True))


def test_nsga2_has_optunas_default_population():
    rows = Rows()
    search(Landscape(), rows, FITS, settings(method="nsga2", evaluations=70, batch_size=10))
    trials = trials_from_generations(SPACE, rows.written, Objectives())
    assert [trial.system_attrs["NSGAIISampler:generation"] for trial in trials] == [0] * 50 + [1] * 20


def test_screened_accuracies_are_journalled_and_known_to_later_batches():
    screened, rows = Screened(), Rows()
    result = search(Landscape(), rows, screened.fits, settings(evaluations=36))
    looks = [row for look in screened.looks[1:] for row in look]
    assert len(set(looks)) == len(looks)  # nothing is looked up twice in a search
    assert {row.tobytes() for row in result.lookups.genotypes} == set(looks)
    # A resumed search begins with what its journal holds, and looks up nothing of it again.
    rows.written = rows.written[:3]
    resumed = Screened()
    again = search(Landscape(), rows, resumed.fits, settings(evaluations=36))
    assert np.array_equal(again.genotypes, result.genotypes)
    journalled = {row.tobytes() for g in rows.written[:3] if g.lookups is not None for row in g.lookups.genotypes}
    assert journalled
    assert not journalled & {row for look in resumed.looks[1:] for row in look}


@pytest.mark.parametrize("names", [("latency_p95_ms", "accuracy", "size_bytes"), ("accuracy", "size_bytes")])
def test_other_objectives_than_latency_and_accuracy(names):
    result = search(Landscape(), Rows(), FITS, settings(objectives=Objectives.from_names(names)))
    assert len(result.outcomes) == 28


def test_failed_candidates_cost_budget_and_do_not_end_the_search():
    result = search(Landscape(fails={2}), Rows(), FITS, settings())
    failed = [o for o in result.outcomes if not o.succeeded]
    assert len(result.outcomes) == 28
    assert failed
    assert {o.failure for o in failed} == {"no such kernel"}


def test_when_everything_fails_the_search_says_so():
    with pytest.raises(NasError, match="no evaluation has succeeded"):
        search(Landscape(fails={0, 1, 2}), Rows(), FITS, settings())


def test_a_limit_draws_the_batches_below_it():
    limit = 0.12
    constraints = Constraints.from_limits({"max_latency_p95_ms": limit})
    result = search(Landscape(), Rows(), FITS, settings(evaluations=44, constraints=constraints))
    chosen = [o.latency_p95_ms for o in result.outcomes[12:]]
    assert np.mean(np.array(chosen) <= limit) >= 0.75


def test_a_design_cut_by_a_small_budget_is_completed_by_a_larger_one():
    rows = Rows()
    search(Landscape(), rows, FITS, settings(evaluations=8))
    search(Landscape(), rows, FITS, settings(evaluations=12))
    assert np.array_equal(np.concatenate([g.genotypes for g in rows.written]), DESIGN)


def test_another_design_than_the_stored_one_is_refused():
    other = DESIGN[1:4]
    rows = Rows([Generation(number=0, genotypes=other, outcomes=tuple(Landscape().evaluate(other)))])
    with pytest.raises(UsageError, match="another design"):
        search(Landscape(), rows, FITS, settings())


def test_a_design_begins_with_the_corners_and_is_a_prefix_of_larger_ones():
    assert np.array_equal(designed_candidates(SPACE, 20, seed=0)[:12], DESIGN)
    corners = [SPACE.smallest(), SPACE.largest()]
    corners += [SPACE.with_policy(row, name) for name in SPACE.precisions[1:] for row in corners]
    assert {row.tobytes() for row in corners} == {row.tobytes() for row in DESIGN[: len(corners)]}
    assert len(np.unique(DESIGN, axis=0)) == 12
