"""Fronts of whole searches, each in a fresh home, compared on the test images with one reference.

What the benchmarks of results and of policies share.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.fronts.front import Budget, Member
from nas.home import Home
from nas.measuring.context import SearchContext
from nas.search.outcome import Outcome
from nas.search.pareto import hypervolume
from nas.store.store import open_store
from nas.store.supernets import StoredSupernet
from nas.workflows.front_search import search_front
from nas.workflows.random_baseline import random_baseline
from nas.workflows.searching import SearchTask, search, search_id_of
from nas.workspace import Workspace
from search_spaces.errors import NasError, UsageError
from search_spaces.facts import FloatArray

RANDOM = "random"
"""What fronts of random baselines are called."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedFront:
    """The front that one search returned, and what it had seen and spent."""

    method: str
    seed: int
    members: tuple[Member, ...]
    slowest_ms: float
    """The largest p50 that it read, in the search or in verification."""
    least_accurate: float
    """The lowest accuracy of those: readings, and test accuracies of members."""
    evaluations: int
    lookups: int
    seconds: float
    unit_evaluations: int = 0
    """Networks with one quantized unit that sensitivities took."""

    @property
    def losses(self) -> FloatArray:
        """Log p50 and test error of the members, shape ``(n, 2)``."""
        rows = [(np.log(m.latency_p50_ms.best_known), 1.0 - accuracy_on_test(m)) for m in self.members]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 2)


def common_reference(fronts: Sequence[JudgedFront]) -> FloatArray:
    """Log p50 of the slowest and test error of the least accurate network that any search saw, shape ``(2,)``."""
    return np.array([np.log(max(one.slowest_ms for one in fronts)), 1.0 - min(one.least_accurate for one in fronts)])


def hypervolume_on_test(front: JudgedFront, reference: FloatArray) -> float:
    """Hypervolume of a front in log p50 and test error, with a reference of shape ``(2,)``."""
    return hypervolume(front.losses, reference)


def fronts_of_search(context: SearchContext, task: SearchTask) -> list[JudgedFront]:
    """Runs or resumes a search: its own front and, where it was asked for, its random baseline's.

    Verification, which times the networks of both in one session, counts in the search's seconds.

    Raises:
        NasError: if the search fails.
    """
    started_s = time.monotonic()
    run = search(context, task, search_id=search_id_of(task, context.supernet, context.profile))
    searched_s = time.monotonic()
    spent = Budget(evaluations=len(run.result.outcomes), lookups=run.lookups)
    random = random_baseline(context, task, spent) if task.random_baseline else None
    random_s = time.monotonic() - searched_s
    _, front = search_front(context, task)
    own = _judged(
        (task.method, task.seed),
        front.members,
        [outcome for outcome in run.result.outcomes if outcome.succeeded],
        spent,
        time.monotonic() - started_s - random_s,
    )
    fronts = [replace(own, unit_evaluations=run.unit_evaluations)]
    if random is not None:
        if front.baselines is None:
            raise NasError("a baseline network failed its verification, so that random search cannot be judged.")
        fronts.append(
            _judged(
                (RANDOM, task.seed),
                front.baselines.random,
                random.evaluated.outcomes,
                random.budget,
                random_s,
            )
        )
    return fronts


def _judged(
    search_of: tuple[str, int],
    members: tuple[Member, ...],
    outcomes: Sequence[Outcome],
    spent: Budget,
    seconds: float,
) -> JudgedFront:
    method, seed = search_of
    return JudgedFront(
        method=method,
        seed=seed,
        members=members,
        slowest_ms=max(
            [outcome.latency_p50_ms for outcome in outcomes] + [member.latency_p50_ms.best_known for member in members]
        ),
        least_accurate=min(
            [outcome.accuracy_val for outcome in outcomes] + [accuracy_on_test(member) for member in members]
        ),
        evaluations=spent.evaluations,
        lookups=spent.lookups,
        seconds=seconds,
    )


@contextlib.contextmanager
def fresh_workspace(workspace: Workspace, supernet: StoredSupernet, root: Path) -> Iterator[Workspace]:
    """A home that holds this supernet alone.

    The cache is shared: what is prepared and compiled is the same whoever asks, and no figure is kept there.
    """
    home = Home(root)
    folder = home.supernets / supernet.folder
    if not folder.exists():
        shutil.copytree(workspace.supernet_folder(supernet), folder)
    if not home.cache.exists():
        workspace.home.cache.mkdir(parents=True, exist_ok=True)
        home.cache.symlink_to(workspace.home.cache.resolve(), target_is_directory=True)
    # A database of its own, also where HWNAS_DATABASE_URL names the one of the other steps.
    with open_store(f"sqlite:///{root / 'hwnas.db'}") as store:
        store.supernets.put(supernet)
        yield Workspace(home, store)


def accuracy_on_test(member: Member) -> float:
    """A member's test accuracy (fraction).

    Raises:
        UsageError: if it has none.
    """
    if member.accuracy_test is None:
        raise UsageError("a member without test accuracy cannot be judged.")
    return member.accuracy_test
