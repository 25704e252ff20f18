"""Real evaluations for a device: the designed set, and whatever a search asks for."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from hw_profiles.profile import DeviceProfile
from nas.measuring.evaluator import RealEvaluator
from nas.measuring.local_bench import LocalBench
from nas.measuring.preparation import PreparationSettings
from nas.measuring.preparation_pool import PreparationPool, PreparerSource
from nas.progress import Progress
from nas.search.design import designed_candidates
from nas.search.outcome import Outcome
from nas.store.leases import Lease
from nas.store.supernets import StoredSupernet
from nas.workspace import Workspace, space_of
from search_spaces.space import IntArray

DEFAULT_DESIGN = 14
"""Candidates of the designed set: the corners in both precisions and ten between."""
DESIGN_SEED = 0
"""The designed set is the same for every search of a space, so that what was measured serves them all."""


@contextlib.contextmanager
def preparation_pool(
    workspace: Workspace, supernet: StoredSupernet, settings: PreparationSettings | None = None
) -> Iterator[PreparationPool]:
    """The processes that prepare a supernet's candidates."""
    source = PreparerSource(
        supernet_folder=workspace.supernet_folder(supernet),
        data=workspace.data_spec(supernet),
        cache=workspace.candidate_cache(supernet),
        settings=settings or PreparationSettings(),
    )
    with PreparationPool(space_of(supernet), source) as pool:
        yield pool


@contextlib.contextmanager
def evaluator(
    workspace: Workspace,
    supernet: StoredSupernet,
    profile: DeviceProfile,
    pool: PreparationPool,
    progress: Progress,
    lease: Lease | None = None,
) -> Iterator[RealEvaluator]:
    """A real evaluator of one device profile; its worker process ends with the context."""
    workspace.store.devices.put(profile)
    with local_bench(workspace, supernet, profile, progress) as bench:
        yield RealEvaluator(
            space_of(supernet),
            workspace.store,
            pool,
            bench,
            profile,
            supernet.id,
            progress=progress,
            lease=lease,
        )


def local_bench(
    workspace: Workspace, supernet: StoredSupernet, profile: DeviceProfile, progress: Progress
) -> LocalBench:
    """This machine's bench for a profile; a context manager.

    Each supernet's candidates are compiled in a folder of their own: equal candidates of two
    supernets hold different weights. The anchor's reference is the device's.
    """
    return LocalBench(
        profile,
        workspace.compiled_folder(supernet, profile),
        lambda done, total: progress.update(f"compiling for {profile.id}", done, total),
        references=workspace.measuring_folder(profile),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignResult:
    """What was measured of the designed set."""

    genotypes: IntArray
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> int:
        """Candidates without figures."""
        return sum(not outcome.succeeded for outcome in self.outcomes)


def measure_design(
    workspace: Workspace,
    supernet: StoredSupernet,
    profile: DeviceProfile,
    pool: PreparationPool,
    progress: Progress,
    *,
    count: int = DEFAULT_DESIGN,
    lease: Lease | None = None,
) -> DesignResult:
    """Evaluates the designed set on a device; what is measured already is not measured again.

    Raises:
        UsageError: for fewer than the corners.
    """
    space = space_of(supernet)
    genotypes = designed_candidates(space, count, DESIGN_SEED)
    with evaluator(workspace, supernet, profile, pool, progress, lease) as real:
        return DesignResult(genotypes=genotypes, outcomes=tuple(real.evaluate(genotypes)))
