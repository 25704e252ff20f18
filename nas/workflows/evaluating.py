"""Real evaluations on a device: the designed set, and the candidates of searches."""

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from nas.measuring.candidate_executor import ExecutorFactory
from nas.measuring.candidate_processes import CandidateProcesses
from nas.measuring.context import SearchContext
from nas.measuring.device_bench import device_bench
from nas.measuring.evaluator import RealEvaluator
from nas.measuring.preparation_pool import PreparationPool
from nas.measuring.supernet_weights import PreparationSettings, SupernetWeightSource
from nas.search.design import designed_candidates
from nas.search.outcome import Outcome
from nas.search.restriction import native_restriction
from nas.store.supernets import StoredSupernet
from nas.workspace import Workspace
from search_spaces.space import IntArray

DEFAULT_DESIGN = 14
"""Candidates of the designed set: the corners in both precisions and ten between."""
DESIGN_SEED = 0
"""The designed set is the same for every search of a space, so that what was measured serves them all."""


@contextlib.contextmanager
def preparation_pool(
    workspace: Workspace,
    supernet: StoredSupernet,
    settings: PreparationSettings | None = None,
    *,
    executors: ExecutorFactory = CandidateProcesses,
) -> Iterator[PreparationPool]:
    """The processes that prepare a supernet's candidates; local, unless ``executors`` makes others."""
    with PreparationPool(weight_source(workspace, supernet, settings), executors=executors) as pool:
        yield pool


def weight_source(
    workspace: Workspace, supernet: StoredSupernet, settings: PreparationSettings | None = None
) -> SupernetWeightSource:
    """A supernet's weights and the data that it was trained on.

    Raises:
        UsageError: if the supernet's folder does not name its data.
    """
    return SupernetWeightSource(
        supernet_id=supernet.id,
        space_name=supernet.space,
        task=supernet.task,
        folder=workspace.supernet_folder(supernet),
        data=workspace.data_spec(supernet),
        cache=workspace.candidate_cache(supernet),
        settings=settings or PreparationSettings(),
    )


@contextlib.contextmanager
def evaluator(context: SearchContext, metrics: Collection[str] = ()) -> Iterator[RealEvaluator]:
    """A real evaluator of one device profile; its worker process ends with the context.

    ``metrics`` names those that each outcome must have, such as a search's objectives and limits.
    """
    context.store.devices.put(context.profile)
    with device_bench(context.device, context.pool.source.key) as bench:
        yield RealEvaluator(context, bench, metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignResult:
    """What was measured of the designed set."""

    genotypes: IntArray
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> int:
        """Candidates without figures."""
        return sum(not outcome.succeeded for outcome in self.outcomes)


def measure_design(context: SearchContext, *, count: int = DEFAULT_DESIGN) -> DesignResult:
    """Evaluates the designed set on a device; what is measured already is not measured again.

    Raises:
        UsageError: for fewer than the corners.
    """
    restriction = native_restriction(context.space, context.profile)
    genotypes = designed_candidates(context.space, count, DESIGN_SEED, restriction)
    with evaluator(context) as real:
        return DesignResult(genotypes=genotypes, outcomes=tuple(real.evaluate(genotypes)))
