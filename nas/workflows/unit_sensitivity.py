"""Sensitivities of units for other steps, measured in the preparation processes."""

from collections.abc import Sequence

import numpy as np

from nas.measuring.context import SearchContext
from nas.measuring.preparation import PreparationFailure
from nas.measuring.preparation_pool import PreparationPool
from nas.progress import Progress
from nas.quantization.sensitivity import NetworkSensitivity
from search_spaces.errors import NasError, UsageError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace


def measured_sensitivity(
    pool: PreparationPool, space: SearchSpace, genotype: IntArray, progress: Progress
) -> NetworkSensitivity:
    """The sensitivity of one candidate's architecture, of shape ``(genes,)``; its policy does not matter.

    Raises:
        UsageError: for a space whose networks have no reduced precision.
        NasError: if the float network cannot be prepared.
    """
    if len(space.precisions) < 2:
        raise UsageError(f"networks of {space.name} are in {space.precisions[0]} only; there is nothing to quantize.")
    return architecture_sensitivities(pool, [genotype], progress)[0]


def architecture_sensitivities(
    pool: PreparationPool, genotypes: Sequence[IntArray], progress: Progress
) -> list[NetworkSensitivity]:
    """The sensitivities of some architectures, in order; what is in the cache is not measured again.

    Raises:
        NasError: if the float network of one cannot be prepared.
    """
    task = "quantizing one unit at a time"
    outcomes = pool.sensitivities(genotypes, lambda done: progress.update(task, done, len(genotypes)))
    found = []
    for outcome in outcomes:
        if isinstance(outcome, PreparationFailure):
            raise NasError(f"the units of candidate {outcome.candidate_id[:12]} cannot be evaluated: {outcome.message}")
        found.append(outcome)
    return found


def unit_losses(context: SearchContext, architectures: IntArray) -> FloatArray:
    """Divergences as integer programming takes them, shape ``(k, units, precisions)``.

    0 in float, NaN for absent units, infinite for a unit that cannot be quantized, which the progress says.
    """
    space = context.space
    found = architecture_sensitivities(context.pool, list(architectures), context.progress)
    for one in found:
        for entry in one.units:
            if entry.divergence is None:
                context.progress.say(f"unit {entry.unit} stays in float: {entry.reason}")
    return np.stack([_losses(space, one) for one in found])


def _losses(space: SearchSpace, found: NetworkSensitivity) -> FloatArray:
    losses = np.full((len(space.units), len(space.precisions)), np.nan)
    for entry in found.units:
        place = space.units.index(entry.unit)
        losses[place, 0] = 0.0
        divergence = np.inf if entry.divergence is None else entry.divergence
        losses[place, space.precisions.index(entry.precision)] = divergence
    return losses


def unit_evaluations(space: SearchSpace, architectures: Sequence[IntArray]) -> int:
    """Networks with one quantized unit that the sensitivities of architectures take."""
    return sum(len(space.unit_precisions(row)) for row in architectures) * (len(space.precisions) - 1)
