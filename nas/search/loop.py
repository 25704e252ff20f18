"""The outer loop: one Optuna trial a real evaluation, a batch a generation.

Generation 0 is the design. Each later one is asked from an Optuna sampler, which sees
every trial so far: ``hwnas`` (predictors guide it), ``nsga2`` or ``random`` (Optuna's
own, as baselines). State is the journal's rows, one generation written whole. To
resume, the study is rebuilt from the rows and the sampler seeded from (search seed,
generation), so that a search that was killed proposes what it had proposed; what the
evaluator had finished of that generation is not evaluated again.
"""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.search.evolution import EvolutionSettings
from nas.search.guided_sampler import (
    P95_ATTRIBUTE,
    SIZE_ATTRIBUTE,
    GuidedEvolutionSampler,
    distributions,
    genotype_of,
)
from nas.search.outcome import Evaluator, Limits, Outcome
from nas.search.proposal import PredictorFits
from search_spaces.errors import UsageError
from search_spaces.space import IntArray, SearchSpace

Method = Literal["hwnas", "nsga2", "random"]
_FAILURE_ATTRIBUTE = "failure"
_MAX_REDRAWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """A search's budget and seed.

    Raises:
        UsageError: for a budget or batch below 1.
    """

    evaluations: int
    """Real evaluations in all, the design among them."""
    batch_size: int = 8
    seed: int = 0
    method: Method = "hwnas"
    limits: Limits = field(default_factory=Limits)
    evolution: EvolutionSettings = field(default_factory=EvolutionSettings)

    def __post_init__(self) -> None:
        if self.evaluations < 1 or self.batch_size < 1:
            raise UsageError(
                f"a search of {self.evaluations} evaluations in batches of {self.batch_size}; both must be at least 1."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Candidates proposed and evaluated together; ``genotypes`` has one row an outcome."""

    number: int
    genotypes: IntArray
    outcomes: tuple[Outcome, ...]


class Journal(Protocol):
    """Where a search keeps its rows."""

    def generations(self) -> Sequence[Generation]:
        """All generations so far, by number."""
        ...

    def append(self, generation: Generation) -> None:
        """Writes the next generation."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Everything that was evaluated; ``genotypes`` has one row an outcome."""

    genotypes: IntArray
    outcomes: tuple[Outcome, ...]


def run_search(
    space: SearchSpace,
    design: IntArray,
    evaluator: Evaluator,
    journal: Journal,
    fits: PredictorFits,
    settings: SearchSettings,
    *,
    on_generation: Callable[[Generation, int], None] = lambda _generation, _done: None,
) -> SearchResult:
    """Runs or resumes a search until its budget is spent.

    Args:
        space: the space searched.
        design: canonical genotypes evaluated first, shape ``(k, genes)``; cut at the budget.
        evaluator: evaluates for real.
        journal: this search's rows; a search with rows resumes.
        fits: how predictors are fitted.
        settings: budget, batch, seed, method, limits.
        on_generation: told each finished generation and the evaluations done.

    Raises:
        UsageError: where the journal was begun with another design.
    """
    done = list(journal.generations())
    for generation in done:
        if generation.number == 0 and not np.array_equal(generation.genotypes, design[: settings.evaluations]):
            raise UsageError("this search was begun with another design; resume it with the settings it began with.")
    while sum(len(g.outcomes) for g in done) < settings.evaluations:
        genotypes = design[: settings.evaluations] if not done else _propose(space, done, fits, settings)
        outcomes = tuple(evaluator.evaluate(genotypes))
        done.append(Generation(number=len(done), genotypes=genotypes, outcomes=outcomes))
        journal.append(done[-1])
        on_generation(done[-1], sum(len(g.outcomes) for g in done))
    return SearchResult(
        genotypes=np.concatenate([g.genotypes for g in done]),
        outcomes=tuple(o for g in done for o in g.outcomes),
    )


def _propose(space: SearchSpace, done: Sequence[Generation], fits: PredictorFits, settings: SearchSettings) -> IntArray:
    spent = sum(len(g.genotypes) for g in done)
    count = min(settings.batch_size, settings.evaluations - spent)
    study = build_study(space, done, make_sampler(space, fits, settings, len(done)))
    tried = {row.tobytes() for g in done for row in g.genotypes}
    rows: list[IntArray] = []
    for _ in range(count * _MAX_REDRAWS):
        trial = study.ask(distributions(space))
        row = genotype_of(space, trial.params)
        if row.tobytes() in tried:
            # The baselines' samplers repeat themselves; a repeat would spend no real evaluation.
            study.tell(trial, state=TrialState.FAIL)
            continue
        tried.add(row.tobytes())
        rows.append(row)
        if len(rows) == count:
            break
    if not rows:
        raise UsageError(f"{settings.method} proposes nothing new after {spent} evaluations: the space is exhausted.")
    return np.array(rows, dtype=np.int64)


def make_sampler(space: SearchSpace, fits: PredictorFits, settings: SearchSettings, generation: int) -> BaseSampler:
    """The method's sampler, seeded for one generation of one search."""
    digest = hashlib.sha256(f"{settings.seed}:{generation}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    if settings.method == "random":
        return RandomSampler(seed=seed)
    if settings.method == "nsga2":
        return NSGAIISampler(population_size=settings.batch_size, seed=seed)
    return GuidedEvolutionSampler(
        space,
        fits,
        batch_size=settings.batch_size,
        seed=seed,
        limits=settings.limits,
        evolution=settings.evolution,
    )


def build_study(space: SearchSpace, done: Sequence[Generation], sampler: BaseSampler) -> optuna.Study:
    """An in-memory study that holds every finished evaluation as a trial."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.add_trials(
            [
                _trial(space, row, outcome, generation.number)
                for generation in done
                for row, outcome in zip(generation.genotypes, generation.outcomes, strict=True)
            ]
        )
    return study


def _trial(space: SearchSpace, row: IntArray, outcome: Outcome, generation: int) -> FrozenTrial:
    params = {gene.name: int(value) for gene, value in zip(space.genes, row, strict=True)}
    shared = {"params": params, "distributions": distributions(space)}
    # The attribute is where Optuna's NSGA-II looks up which generation a trial is of.
    system = {"NSGAIISampler:generation": generation}
    if not outcome.succeeded:
        return create_trial(
            state=TrialState.FAIL,
            user_attrs={_FAILURE_ATTRIBUTE: outcome.failure},
            system_attrs=system,
            **shared,  # type: ignore[arg-type]
        )
    return create_trial(
        state=TrialState.COMPLETE,
        values=[outcome.latency_p50_ms, outcome.accuracy_val],
        user_attrs={SIZE_ATTRIBUTE: outcome.size_bytes, P95_ATTRIBUTE: outcome.latency_p95_ms},
        system_attrs=system,
        **shared,  # type: ignore[arg-type]
    )
