"""Searches as Optuna studies: one integer parameter per gene, one trial per real evaluation.

A trial's values are the objectives in the metrics' own units and directions. Figures that
are no objectives (constrained metrics, the number of validation images) are in the trial's
user attribute ``metrics`` and ``images_val``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.metrics import Constraint, Constraints, Direction, Objectives
from nas.search.generation import Generation
from nas.search.outcome import Outcome
from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

METRICS_ATTRIBUTE: Final = "metrics"
IMAGES_ATTRIBUTE: Final = "images_val"
FAILURE_ATTRIBUTE: Final = "failure"
NSGA2_POPULATION: Final = 50
"""Optuna's default."""
_CONSTRAINT_KEY: Final = "constraints:"
"""Where Optuna's samplers look up how far a trial misses a constraint of a name."""
_NSGA2_GENERATION_KEY: Final = "NSGAIISampler:generation"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Archive:
    """Every completed trial: canonical genotypes, shape ``(n, genes)``, and their figures, row by row."""

    genotypes: IntArray
    metrics: Mapping[str, FloatArray]
    """By metric name, each of shape ``(n,)``; ``accuracy`` is the reading on the validation images."""
    images_val: IntArray
    """Validation images that each accuracy was counted on, shape ``(n,)``; 0 where it is exact."""


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """One integer parameter per gene: the index of its choice."""
    return {gene.name: IntDistribution(0, len(gene.choices) - 1) for gene in space.genes}


def params_from_genotype(space: SearchSpace, genotype: IntArray) -> dict[str, int]:
    """A genotype of shape ``(genes,)`` as a trial's parameters."""
    return {gene.name: int(value) for gene, value in zip(space.genes, genotype, strict=True)}


def genotype_from_params(space: SearchSpace, params: Mapping[str, Any]) -> IntArray:
    """A trial's parameters as a canonical genotype, shape ``(genes,)``."""
    return space.canonical_row(np.array([params[gene.name] for gene in space.genes], dtype=np.int64))


def archive_from_trials(
    space: SearchSpace, trials: Sequence[FrozenTrial], objectives: Objectives, names: Sequence[str]
) -> Archive:
    """The completed trials' figures.

    Raises:
        UsageError: if a trial lacks a metric of ``names``.
    """
    rows = [genotype_from_params(space, trial.params) for trial in trials]
    figures = [
        dict(zip(objectives.names, trial.values, strict=True)) | trial.user_attrs.get(METRICS_ATTRIBUTE, {})
        for trial in trials
    ]
    for trial, known in zip(trials, figures, strict=True):
        missing = [name for name in names if name not in known]
        if missing:
            raise UsageError(
                f"trial {trial.number} has no {missing[0]}; the objective function must set it:"
                f" trial.set_user_attr({METRICS_ATTRIBUTE!r}, {{{missing[0]!r}: …}})."
            )
    return Archive(
        genotypes=np.array(rows, dtype=np.int64).reshape(len(rows), len(space.genes)),
        metrics={name: np.array([known[name] for known in figures], dtype=np.float64) for name in names},
        images_val=np.array([trial.user_attrs.get(IMAGES_ATTRIBUTE, 0) for trial in trials], dtype=np.int64),
    )


def check_directions(study: optuna.Study, objectives: Objectives) -> None:
    """Studies must optimize what their sampler predicts.

    Raises:
        UsageError: if the study's directions are not those of the objectives.
    """
    found = [direction.name.lower() for direction in study.directions]
    wanted = directions(objectives)
    if found != wanted:
        raise UsageError(
            f"the study's directions are {found}; the objectives {', '.join(objectives.names)} need {wanted}."
        )


def directions(objectives: Objectives) -> list[Direction]:
    """``minimize`` or ``maximize`` per objective, as ``optuna.create_study`` takes them."""
    return [objective.metric.direction for objective in objectives.items]


def build_study(
    space: SearchSpace,
    done: Sequence[Generation],
    sampler: BaseSampler,
    *,
    objectives: Objectives,
    constraints: Constraints,
) -> optuna.Study:
    """An in-memory study that holds every finished evaluation as a trial."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=directions(objectives), sampler=sampler)
    study.add_trials(trials_from_generations(space, done, objectives, constraints))
    return study


def trials_from_generations(
    space: SearchSpace,
    done: Sequence[Generation],
    objectives: Objectives,
    constraints: Constraints | None = None,
) -> list[FrozenTrial]:
    """Finished evaluations as frozen trials, in order."""
    trials: list[FrozenTrial] = []
    population, complete = 0, 0
    for generation in done:
        # Where Optuna's NSGA-II would have counted them: a population is full once 50 trials of it are complete.
        if complete >= NSGA2_POPULATION:
            population, complete = population + 1, 0
        for row, outcome in zip(generation.genotypes, generation.outcomes, strict=True):
            system = {_NSGA2_GENERATION_KEY: population}
            trials.append(_trial(space, row, outcome, objectives, constraints or Constraints(), system))
            complete += outcome.succeeded
    return trials


def _trial(
    space: SearchSpace,
    row: IntArray,
    outcome: Outcome,
    objectives: Objectives,
    constraints: Constraints,
    system: dict[str, Any],
) -> FrozenTrial:
    shared: dict[str, Any] = {"params": params_from_genotype(space, row), "distributions": distributions(space)}
    if not outcome.succeeded:
        attributes = {FAILURE_ATTRIBUTE: outcome.failure, "candidate": outcome.candidate_id}
        return create_trial(state=TrialState.FAIL, user_attrs=attributes, system_attrs=system, **shared)
    system = system | {_CONSTRAINT_KEY + one.name: _violation(one, outcome) for one in constraints.items}
    return create_trial(
        state=TrialState.COMPLETE,
        values=[outcome.metrics[name] for name in objectives.names],
        user_attrs={
            METRICS_ATTRIBUTE: dict(outcome.metrics),
            IMAGES_ATTRIBUTE: outcome.images_val,
            "quality": outcome.quality,
            "candidate": outcome.candidate_id,
        },
        system_attrs=system,
        **shared,
    )


def _violation(constraint: Constraint, outcome: Outcome) -> float:
    """Relative; Optuna takes a trial for feasible where all of them are 0 or less."""
    return float(constraint.violations(np.array([outcome.metrics[constraint.metric.name]]))[0])
