"""Sensitivities of units for other steps, measured in the preparation processes."""

from collections.abc import Sequence

import numpy as np

from nas.measuring.context import SearchContext
from nas.measuring.preparation import PreparationFailure
from nas.measuring.preparation_pool import PreparationPool
from nas.progress import Progress
from nas.quantization.sensitivity import NetworkSensitivity
from nas.search.restriction import Restriction
from search_spaces.errors import NasError
from search_spaces.facts import FloatArray
from search_spaces.precision import SPECS, Precision
from search_spaces.space import IntArray, SearchSpace


def reduced_precisions(space: SearchSpace, restriction: Restriction | None = None) -> tuple[Precision, ...]:
    """The space's precisions that quantize a unit, in order; with a restriction, those that it allows."""
    allowed = None if restriction is None else restriction.precisions
    return tuple(name for name in space.precisions if SPECS[name].quantized and (allowed is None or name in allowed))


def measured_sensitivity(
    pool: PreparationPool, genotype: IntArray, precisions: tuple[Precision, ...], progress: Progress
) -> NetworkSensitivity:
    """The sensitivity of one candidate's architecture, of shape ``(genes,)``; its policy does not matter.

    Raises:
        NasError: if the float network cannot be prepared.
    """
    return architecture_sensitivities(pool, [genotype], precisions, progress)[0]


def architecture_sensitivities(
    pool: PreparationPool, genotypes: Sequence[IntArray], precisions: tuple[Precision, ...], progress: Progress
) -> list[NetworkSensitivity]:
    """The sensitivities of some architectures, in order; what is in the cache is not measured again.

    Raises:
        NasError: if the float network of one cannot be prepared.
    """
    task = "quantizing one unit at a time"
    outcomes = pool.sensitivities(genotypes, precisions, lambda done: progress.update(task, done, len(genotypes)))
    found = []
    for outcome in outcomes:
        if isinstance(outcome, PreparationFailure):
            raise NasError(f"the units of candidate {outcome.candidate_id[:12]} cannot be evaluated: {outcome.message}")
        found.append(outcome)
    return found


def unit_losses(context: SearchContext, architectures: IntArray, precisions: tuple[Precision, ...]) -> FloatArray:
    """Divergences as integer programming takes them, shape ``(k, units, precisions of the space)``.

    0 in float, NaN for absent units, infinite for a unit that cannot be quantized, which the progress says, and for
    reduced precisions other than ``precisions``, which are not measured.
    """
    space = context.space
    found = architecture_sensitivities(context.pool, list(architectures), precisions, context.progress)
    for one in found:
        for entry in one.units:
            if entry.divergence is None:
                context.progress.say(f"unit {entry.unit} stays in float: {entry.reason}")
    return np.stack([_losses(space, one) for one in found])


def _losses(space: SearchSpace, found: NetworkSensitivity) -> FloatArray:
    losses = np.full((len(space.units), len(space.precisions)), np.nan)
    for entry in found.units:
        losses[space.units.index(entry.unit)] = [np.inf if SPECS[name].quantized else 0.0 for name in space.precisions]
    for entry in found.units:
        if entry.divergence is not None:
            losses[space.units.index(entry.unit), space.precisions.index(entry.precision)] = entry.divergence
    return losses


def unit_evaluations(space: SearchSpace, architectures: Sequence[IntArray], precisions: tuple[Precision, ...]) -> int:
    """Networks with one quantized unit that the sensitivities of architectures take."""
    return sum(len(space.unit_precisions(row)) for row in architectures) * len(precisions)
