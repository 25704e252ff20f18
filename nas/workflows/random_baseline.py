"""Random search with the budget of a search: as many real evaluations, as many look-ups.

Candidates are drawn as every method's are (``SearchSpace.sample_spread``). Look-ups are
spent before the device is asked: that many drawn architectures are evaluated in float,
and the drawn candidates that are best by non-dominated sorting of MACs and that accuracy
get the real evaluations. Nothing that the search learned is used, and the baseline's
front is chosen by posteriors of its own.
"""

from dataclasses import dataclass

import numpy as np

from nas.fronts.front import Budget
from nas.measuring.context import SearchContext
from nas.metrics import Objectives
from nas.search.evolution import Scores, preference
from nas.search.judging import Evaluated, expected_accuracies, front_rows
from nas.search.restriction import Restriction
from nas.workflows.evaluating import evaluator
from nas.workflows.searching import SearchTask, fit_accuracy_to
from nas.workflows.survey import float_accuracies
from predictors.known_accuracy import KnownAccuracies
from search_spaces.facts import CostFacts
from search_spaces.space import IntArray

_SEED_OFFSET = 1_000_003
"""Keeps the baseline's draws apart from the search's own."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RandomBaseline:
    """Results of random search."""

    front: IntArray
    """Genotypes that none of its candidates dominates in the search's objectives, shape ``(k, genes)``."""
    evaluated: Evaluated
    budget: Budget


def random_baseline(context: SearchContext, task: SearchTask, budget: Budget) -> RandomBaseline:
    """Spends a search's budget on random candidates; deterministic in the request's seed."""
    rng = np.random.default_rng(task.seed + _SEED_OFFSET)
    restriction = task.restriction(context.space, context.profile)
    drawn = distinct_draws(context, max(budget.evaluations, budget.lookups), rng, restriction)
    chosen, known = drawn[: budget.evaluations], None
    if budget.lookups:
        known = float_accuracies(
            context,
            np.unique(context.space.unquantized(drawn[: budget.lookups]), axis=0),
            task="looking up random architectures",
        )
        chosen = _best_by_lookup(context, drawn, known, budget.evaluations)
    with evaluator(context) as real:
        evaluated = Evaluated.succeeded(chosen, real.evaluate(chosen))
    return RandomBaseline(
        front=evaluated.genotypes[_front(context, evaluated, known, task.objectives)],
        evaluated=evaluated,
        budget=Budget(evaluations=len(chosen), lookups=0 if known is None else len(known.accuracy)),
    )


def distinct_draws(
    context: SearchContext, count: int, rng: np.random.Generator, restriction: Restriction | None = None
) -> IntArray:
    """Distinct random candidates in the order drawn, shape ``(count, genes)``."""
    space, allowed = context.space, restriction or Restriction()
    drawn = np.empty((0, len(space.genes)), dtype=np.int64)
    while len(drawn) < count:
        more = np.concatenate([drawn, allowed.project(space, space.sample_spread(count, rng))])
        _, first = np.unique(more, axis=0, return_index=True)
        drawn = more[np.sort(first)]
    return drawn[:count]


def _best_by_lookup(context: SearchContext, drawn: IntArray, known: KnownAccuracies, count: int) -> IntArray:
    """The best ``count`` candidates whose architectures were looked up, then others as drawn."""
    accuracy = known.of_architecture(drawn)
    looked_up = np.flatnonzero(np.isfinite(accuracy))
    macs = CostFacts(context.space).column("macs", drawn[looked_up])
    scores = Scores(
        objectives=np.stack([np.log(macs), 1.0 - accuracy[looked_up]], axis=1), violations=np.zeros(len(looked_up))
    )
    ordered = looked_up[preference(scores)]
    rest = np.setdiff1d(np.arange(len(drawn)), ordered)
    best: IntArray = drawn[np.concatenate([ordered, rest])[:count]]
    return best


def _front(
    context: SearchContext, evaluated: Evaluated, known: KnownAccuracies | None, objectives: Objectives
) -> IntArray:
    if not len(evaluated.outcomes):
        return np.empty(0, dtype=np.int64)
    posterior = expected_accuracies(
        context.space, lambda rows, accuracy: fit_accuracy_to(context, rows, accuracy), evaluated, known=known
    )
    return front_rows(evaluated.values(objectives.names, posterior.expected), objectives)
