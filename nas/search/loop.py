"""The outer loop: one Optuna trial per real evaluation, a batch per generation.

Generation 0 of ``hwnas`` is the design; every other generation is asked from the
method's Optuna sampler, which sees every trial so far. Staged methods
(:mod:`nas.search.staged`) are ``hwnas`` held to one part of the space after another. State is the journal's rows, one
generation written whole. To resume, the study is rebuilt from the rows and the sampler
seeded from (search seed, generation), so that a search that was killed proposes what it
had proposed; what the evaluator had finished of that generation is not evaluated again.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.trial import TrialState

from nas.metrics import Constraints, Objectives
from nas.search.evolution import EvolutionSettings
from nas.search.generation import Generation, Journal
from nas.search.methods import GUIDED_METHODS, INTEGER_PROGRAMMING, METHODS, OPTUNA_METHODS, STAGED_METHODS, Method
from nas.search.outcome import Evaluator, Outcome
from nas.search.proposal import PredictorFits
from nas.search.restriction import Restriction
from nas.search.samplers import GuidedSampler, LinasSampler, SamplerSettings, SpaceExhaustedError, SpreadSampler
from nas.search.staged import (
    FirstStage,
    UnitLosses,
    first_stage_evaluations,
    float_only,
    programmed_candidates,
)
from nas.search.study import build_study, distributions, genotype_from_params
from predictors.known_accuracy import KnownAccuracies
from search_spaces.errors import UsageError
from search_spaces.space import IntArray, SearchSpace

_MAX_REDRAWS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """A search's budget and seed.

    Raises:
        UsageError: for a budget or batch below 1, or an unknown method.
    """

    evaluations: int
    """Real evaluations in all, the design among them."""
    batch_size: int = 8
    seed: int = 0
    method: Method = "hwnas"
    objectives: Objectives = field(default_factory=Objectives)
    constraints: Constraints = field(default_factory=Constraints)
    evolution: EvolutionSettings = field(default_factory=EvolutionSettings)
    candidates: IntArray | None = None
    """Canonical genotypes that may be evaluated, shape ``(k, genes)``; None for the whole space."""
    restriction: Restriction = field(default_factory=Restriction)
    """The part of the space that is searched; of a staged method, the part of its second half."""

    def __post_init__(self) -> None:
        if self.evaluations < 1 or self.batch_size < 1:
            raise UsageError(
                f"a search of {self.evaluations} evaluations in batches of {self.batch_size}; both must be at least 1."
            )
        if self.method not in METHODS:
            raise UsageError(f"{self.method!r} is not a search method; allowed are {', '.join(METHODS)}.")
        restricted = self.restriction.precisions is not None or self.restriction.architectures is not None
        if self.candidates is not None and (restricted or self.method in STAGED_METHODS):
            raise UsageError("a search among given candidates cannot be restricted further; use only one of the two.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProblem:
    """A search's space, evaluator and predictors."""

    space: SearchSpace
    design: IntArray
    """Canonical genotypes that ``hwnas`` evaluates first, shape ``(k, genes)``; ``linas`` begins with as many
    random ones. The other methods begin as Optuna has them."""
    evaluator: Evaluator
    fits: PredictorFits
    unit_losses: UnitLosses | None = None
    """Sensitivities of units; needed by integer programming."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Everything that was evaluated; ``genotypes`` has one row per outcome."""

    genotypes: IntArray
    outcomes: tuple[Outcome, ...]
    lookups: KnownAccuracies | None = None
    """Accuracies looked up on the way; None where there were none."""


def run_search(
    problem: SearchProblem,
    journal: Journal,
    settings: SearchSettings,
    *,
    on_generation: Callable[[Generation, int], None] = lambda _generation, _done: None,
) -> SearchResult:
    """Runs or resumes a search until its budget is spent.

    Args:
        problem: the space, its design, the evaluator and the fits.
        journal: this search's rows; a search with rows resumes.
        settings: budget, batch, seed, method, objectives, constraints.
        on_generation: called with each finished generation and the evaluations done.

    Raises:
        UsageError: if the journal was begun with another design, or the space has no such restriction.
    """
    settings.restriction.check(problem.space)
    if settings.method == INTEGER_PROGRAMMING and problem.unit_losses is None:
        raise UsageError(f"{INTEGER_PROGRAMMING} needs unit sensitivities, but the problem has none.")
    done = list(journal.generations())
    if done and settings.method in GUIDED_METHODS:
        # Of a staged search only the beginning: how long its first half is depends on the budget.
        generations = done[:1] if settings.method in STAGED_METHODS else done
        begun = np.concatenate([g.genotypes for g in generations])[: len(problem.design)]
        if not np.array_equal(begun, problem.design[: len(begun)]):
            raise UsageError("this search was started with another design; resume it with its original settings.")
    while (spent := sum(len(g.outcomes) for g in done)) < settings.evaluations:
        genotypes, lookups = _propose(problem, done, settings, settings.evaluations - spent)
        outcomes = tuple(problem.evaluator.evaluate(genotypes))
        done.append(Generation(number=len(done), genotypes=genotypes, outcomes=outcomes, lookups=lookups))
        journal.append(done[-1])
        on_generation(done[-1], spent + len(outcomes))
    return SearchResult(
        genotypes=np.concatenate([g.genotypes for g in done]),
        outcomes=tuple(o for g in done for o in g.outcomes),
        lookups=looked_up(done),
    )


def looked_up(done: Sequence[Generation]) -> KnownAccuracies | None:
    """All accuracies that a search's generations looked up; None where there are none."""
    total: KnownAccuracies | None = None
    for generation in done:
        if generation.lookups is not None:
            total = generation.lookups if total is None else total.joined(generation.lookups)
    return total


def make_sampler(
    problem: SearchProblem, settings: SearchSettings, generation: int, lookups: KnownAccuracies | None = None
) -> BaseSampler:
    """The method's sampler, seeded for one generation of one search."""
    digest = hashlib.sha256(f"{settings.seed}:{generation}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    if settings.method == "random":
        return SpreadSampler(problem.space, seed=seed, candidates=settings.candidates)
    if settings.method == "nsga2":
        return NSGAIISampler(seed=seed)
    if settings.method == "tpe":
        return TPESampler(seed=seed)
    ours = SamplerSettings(
        objectives=settings.objectives,
        constraints=settings.constraints,
        startup=len(problem.design) if settings.method == "linas" else 0,
        batch_size=settings.batch_size,
        seed=seed,
        evolution=settings.evolution,
        candidates=settings.candidates,
        restriction=settings.restriction,
    )
    if settings.method == "linas":
        return LinasSampler(problem.space, problem.fits, ours)
    return GuidedSampler(problem.space, problem.fits, ours, lookups=lookups)


def _propose(
    problem: SearchProblem, done: Sequence[Generation], settings: SearchSettings, left: int
) -> tuple[IntArray, KnownAccuracies | None]:
    """The next generation's candidates and what was looked up to choose them."""
    spent = sum(len(g.genotypes) for g in done)
    if settings.method in STAGED_METHODS:
        first = first_stage_evaluations(settings.evaluations)
        if spent >= first:
            return _propose_policies(problem, done, settings, min(settings.batch_size, left))
        left = min(left, first - spent)
        settings = replace(settings, restriction=float_only(problem.space))
    if spent < len(problem.design) and settings.method in GUIDED_METHODS:
        return problem.design[spent:][:left], None
    starts = not done and settings.method == "linas"
    count = min(len(problem.design) if starts else settings.batch_size, left)
    rows, lookups = _asked(problem, done, settings, count)
    if not len(rows):
        raise SpaceExhaustedError(
            f"{settings.method} proposes nothing new after {spent} evaluations: the space is exhausted."
        )
    return rows, lookups


def _propose_policies(
    problem: SearchProblem, done: Sequence[Generation], settings: SearchSettings, count: int
) -> tuple[IntArray, KnownAccuracies | None]:
    """The second half of a staged search: policies of its best architectures.

    Where these are exhausted, or integer programming finds no policy that gains, the guided search goes on in
    float, so that the budget is spent on what the first half was good for.
    """
    stage = FirstStage(
        space=problem.space,
        fits=problem.fits,
        done=done,
        evaluations=first_stage_evaluations(settings.evaluations),
        objectives=settings.objectives,
        lookups=looked_up(done),
    )
    lookups: KnownAccuracies | None = None
    if settings.method == INTEGER_PROGRAMMING:
        assert problem.unit_losses is not None  # checked when the search begins
        tried = {row.tobytes() for g in done for row in g.genotypes}
        rows = programmed_candidates(stage, problem.unit_losses, settings.restriction, tried, count)
        chosen = np.array(rows, dtype=np.int64).reshape(len(rows), len(problem.space.genes))
    else:
        part = replace(settings.restriction, architectures=stage.architectures())
        chosen, lookups = _asked(problem, done, replace(settings, restriction=part), count)
    if not len(chosen):
        chosen, lookups = _asked(problem, done, replace(settings, restriction=float_only(problem.space)), count)
    if not len(chosen):
        raise SpaceExhaustedError(f"{settings.method} proposes nothing new: the space is exhausted.")
    return chosen, lookups


def _asked(
    problem: SearchProblem, done: Sequence[Generation], settings: SearchSettings, count: int
) -> tuple[IntArray, KnownAccuracies | None]:
    """At most ``count`` new candidates from the method's sampler, and what was looked up to choose them."""
    sampler = make_sampler(problem, settings, len(done), looked_up(done))
    study = build_study(problem.space, done, sampler, objectives=settings.objectives, constraints=settings.constraints)
    tried = {row.tobytes() for g in done for row in g.genotypes}
    rows = _ask(problem.space, study, settings, tried, count)
    if len(rows) < count and settings.method in OPTUNA_METHODS and settings.candidates is None:
        rng = np.random.default_rng([settings.seed, len(tried)])
        rows += _drawn(problem.space, settings, tried, count - len(rows), rng)
    lookups = sampler.looked_up if isinstance(sampler, GuidedSampler) else None
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(problem.space.genes)), lookups


def _ask(
    space: SearchSpace, study: optuna.Study, settings: SearchSettings, tried: set[bytes], count: int
) -> list[IntArray]:
    """New candidates from the study's sampler; a repeat would spend no real evaluation and is asked again."""
    rows: list[IntArray] = []
    for _ in range(count * _MAX_REDRAWS):
        try:
            trial = study.ask(distributions(space))
        except SpaceExhaustedError:
            break
        row: IntArray | None = settings.restriction.project(space, genotype_from_params(space, trial.params)[None])[0]
        if settings.candidates is not None and row is not None:
            row = nearest_candidate(space, settings.candidates, row, tried)
        if row is None or row.tobytes() in tried:
            study.tell(trial, state=TrialState.FAIL)
            continue
        tried.add(row.tobytes())
        rows.append(row)
        if len(rows) == count:
            break
    return rows


def _drawn(
    space: SearchSpace, settings: SearchSettings, tried: set[bytes], count: int, rng: np.random.Generator
) -> list[IntArray]:
    """New random candidates in place of those that an Optuna sampler only repeated; fewer if the space has no more."""
    rows: list[IntArray] = []
    for row in settings.restriction.project(space, space.sample_spread(count * _MAX_REDRAWS, rng)):
        if row.tobytes() not in tried:
            tried.add(row.tobytes())
            rows.append(row)
        if len(rows) == count:
            break
    return rows


def nearest_candidate(space: SearchSpace, candidates: IntArray, row: IntArray, tried: set[bytes]) -> IntArray | None:
    """The nearest candidate that was not tried, the first of equals; None where all were.

    Nearest by the sum of gene distances, each as a share of the gene's range: how samplers of the
    whole space propose among the rows of a table.
    """
    distance = (np.abs(candidates - row) / np.maximum(space.cardinalities - 1, 1)).sum(axis=1)
    for number in np.argsort(distance, kind="stable"):
        if candidates[number].tobytes() not in tried:
            found: IntArray = candidates[number]
            return found
    return None
