"""The predicted inner evolution: NSGA-II on whole populations of genotypes.

No network is built here: a score function (the predictors) judges thousands of
candidates at once. Variation is uniform crossover and a mutation that steps to a
neighbouring choice or jumps; choices are few, so real-coded operators would only round.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nas.search.pareto import crowding, ranks
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Predictions for a population.

    ``objectives`` has shape ``(n, m)``, minimized; ``violations`` has shape ``(n,)``: 0
    where every limit holds.
    """

    objectives: FloatArray
    violations: FloatArray

    def take(self, rows: IntArray) -> "Scores":
        """Those of some rows."""
        return Scores(objectives=self.objectives[rows], violations=self.violations[rows])

    def joined(self, other: "Scores") -> "Scores":
        """These, then the others."""
        return Scores(
            objectives=np.concatenate([self.objectives, other.objectives]),
            violations=np.concatenate([self.violations, other.violations]),
        )


ScoreFunction = Callable[[IntArray], Scores]
Repair = Callable[[IntArray], IntArray]
"""Canonical genotypes to allowed ones, same shape."""


def _as_they_are(genotypes: IntArray) -> IntArray:
    return genotypes


@dataclass(frozen=True, slots=True, kw_only=True)
class EvolutionSettings:
    """Budget and rates; ``population * generations`` candidates are predicted."""

    population: int = 200
    generations: int = 50
    crossover_probability: float = 0.9
    jump_probability: float = 0.5


def evolve(
    space: SearchSpace,
    score: ScoreFunction,
    seeds: IntArray,
    settings: EvolutionSettings,
    rng: np.random.Generator,
    *,
    repair: Repair = _as_they_are,
) -> tuple[IntArray, Scores]:
    """Evolves from ``seeds`` (canonical, shape ``(k, genes)``) and random candidates, all of them repaired.

    Returns:
        The last population, distinct rows (elitist: it holds the best front seen),
        and its scores. Deterministic in ``rng``.
    """
    fresh = space.sample(max(settings.population - len(seeds), 0), rng)
    population = np.unique(repair(np.concatenate([seeds, fresh])), axis=0)
    scores = score(population)
    keep = preference(scores)
    population, scores = population[keep], scores.take(keep)
    for _ in range(settings.generations - 1):
        children = _new_rows(repair(_offspring(space, population, settings, rng)), population)
        scores = scores.joined(score(children)) if len(children) else scores
        population = np.concatenate([population, children])
        keep = preference(scores)[: settings.population]
        population, scores = population[keep], scores.take(keep)
    return population, scores


def _new_rows(children: IntArray, population: IntArray) -> IntArray:
    """Distinct children that are not in the population."""
    known = {row.tobytes() for row in population}
    distinct = {row.tobytes(): number for number, row in enumerate(children) if row.tobytes() not in known}
    return children[sorted(distinct.values())]


def preference(scores: Scores) -> IntArray:
    """Row numbers, best first: by rank, then by crowding distance."""
    front_numbers = ranks(scores.objectives, scores.violations)
    return np.lexsort((-crowding(scores.objectives, front_numbers), front_numbers))


def _offspring(
    space: SearchSpace, ordered: IntArray, settings: EvolutionSettings, rng: np.random.Generator
) -> IntArray:
    """Children of binary tournaments; ``ordered`` is best first, so the lower row wins."""
    count = settings.population
    first, second = rng.integers(0, len(ordered), size=(2, 2, count)).min(axis=1)
    mixes = rng.random(count) < settings.crossover_probability
    take_second = (rng.random((count, ordered.shape[1])) < 0.5) & mixes[:, None]
    children = np.where(take_second, ordered[second], ordered[first])
    return mutate(space, children, rng, jump_probability=settings.jump_probability)


def mutate(
    space: SearchSpace, genotypes: IntArray, rng: np.random.Generator, *, jump_probability: float = 0.5
) -> IntArray:
    """Changes each active gene with probability 1/(active genes): a step or a jump; canonical."""
    active = space.active(genotypes) & (space.cardinalities > 1)
    rate = 1.0 / np.maximum(active.sum(axis=1, keepdims=True), 1)
    changed = active & (rng.random(genotypes.shape) < rate)
    jumps = rng.integers(0, space.cardinalities, size=genotypes.shape)
    steps = np.clip(genotypes + rng.choice((-1, 1), size=genotypes.shape), 0, space.cardinalities - 1)
    moved = np.where(rng.random(genotypes.shape) < jump_probability, jumps, steps)
    return space.canonicalize(np.where(changed, moved, genotypes))
