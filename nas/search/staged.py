"""Baselines that choose the architecture first and its policy afterwards, each with half of the evaluations.

The first half is the same for both: the guided search in float alone. The second half is
spent on policies of the architectures on that half's front: by the guided search
(``architecture_then_policy``) or by integer programming (``integer_programming``).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from nas.metrics import LATENCY_P50_MS, Objectives
from nas.search.generation import Generation
from nas.search.integer_programming import (
    additive_latencies,
    policy_program,
    programmed_policies,
    spread_order,
)
from nas.search.judging import Evaluated, expected_accuracies, front_rows
from nas.search.pareto import ranks
from nas.search.proposal import PredictorFits
from nas.search.restriction import Restriction
from predictors.known_accuracy import KnownAccuracies
from search_spaces.errors import NasError
from search_spaces.facts import FloatArray
from search_spaces.space import IntArray, SearchSpace

UnitLosses = Callable[[IntArray], FloatArray]
"""Architectures, shape ``(k, genes)``, to the sensitivity of every unit of the space in each precision, shape ``(k,
units, precisions)``: what is lost if that unit alone has that precision; NaN where a unit is absent."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FirstStage:
    """Results of the first half of a staged search."""

    space: SearchSpace
    fits: PredictorFits
    done: Sequence[Generation]
    evaluations: int
    """Of the first half."""
    objectives: Objectives
    lookups: KnownAccuracies | None = None

    def architectures(self) -> IntArray:
        """Those on the float front, by rising latency, shape ``(k, genes)``.

        Raises:
            NasError: if no evaluation of the first half succeeded.
        """
        return self._ranked()[0]

    def further_architectures(self) -> IntArray:
        """The other evaluated architectures, the nearest to the front first, shape ``(k, genes)``."""
        return self._ranked()[1]

    def _ranked(self) -> tuple[IntArray, IntArray]:
        rows = np.concatenate([one.genotypes for one in self.done])[: self.evaluations]
        outcomes = [outcome for one in self.done for outcome in one.outcomes][: self.evaluations]
        evaluated = Evaluated.succeeded(rows, outcomes)
        if not evaluated.outcomes:
            raise NasError("no float network could be evaluated, so no policy can be searched; see the failures.")
        screening = self.fits.screening
        known = None if screening is None else screening.known
        if known is not None and self.lookups is not None:
            known = known.joined(self.lookups)
        posterior = expected_accuracies(self.space, self.fits.accuracy, evaluated, known=known)
        values = evaluated.values(self.objectives.names, posterior.expected)
        front = front_rows(values, self.objectives)
        fast = evaluated.values([LATENCY_P50_MS.name], posterior.expected)[LATENCY_P50_MS.name]
        rank = ranks(self.objectives.losses(values))
        front = front[np.argsort(fast[front], kind="stable")]
        rest = np.setdiff1d(np.arange(len(fast)), front)
        rest = rest[np.lexsort((fast[rest], rank[rest]))]
        return evaluated.genotypes[front], evaluated.genotypes[rest]


def first_stage_evaluations(evaluations: int) -> int:
    """Number of a staged search's evaluations in float."""
    return (evaluations + 1) // 2


def float_only(space: SearchSpace) -> Restriction:
    """Unquantized candidates alone."""
    return Restriction(precisions=space.precisions[:1])


def programmed_candidates(
    stage: FirstStage, losses: UnitLosses, restriction: Restriction, tried: set[bytes], count: int
) -> list[IntArray]:
    """The next candidates by integer programming: new, canonical; fewer than ``count`` if there are no more.

    Unit-wise latencies are fitted to everything measured so far, quantized networks of this stage
    among them, so that later programs know more of this device's conversions.
    """
    found: list[IntArray] = []
    for architectures in (stage.architectures(), stage.further_architectures()):
        for row in _programmed(stage, losses, restriction, architectures):
            if row.tobytes() not in tried and all(row.tobytes() != other.tobytes() for other in found):
                found.append(row)
                if len(found) == count:
                    return found
    return found


def _programmed(
    stage: FirstStage, losses: UnitLosses, restriction: Restriction, architectures: IntArray
) -> Iterator[IntArray]:
    """One candidate of each architecture in turn, spread over the front."""
    if not len(architectures):
        return
    space = stage.space
    names = [name for name in space.precisions if restriction.precisions is None or name in restriction.precisions]
    choices = np.array([space.precisions.index(name) for name in names], dtype=np.int64)
    latencies = additive_latencies(space, *_measured(stage.done))
    sensitivities = losses(architectures)
    streams = []
    for place in spread_order(len(architectures)):
        row = architectures[place]
        program = policy_program(
            space, row, np.nan_to_num(sensitivities[place], nan=0.0, posinf=np.inf), latencies, choices
        )
        streams.append(programmed_policies(space, row, program, choices))
    while streams:
        taken = [(stream, list(islice(stream, 1))) for stream in streams]
        yield from (row for _, rows in taken for row in rows)
        streams = [stream for stream, rows in taken if rows]


def _measured(done: Sequence[Generation]) -> tuple[IntArray, FloatArray]:
    rows = np.concatenate([one.genotypes for one in done])
    evaluated = Evaluated.succeeded(rows, [outcome for one in done for outcome in one.outcomes])
    return evaluated.genotypes, np.array([outcome.latency_p50_ms for outcome in evaluated.outcomes])
