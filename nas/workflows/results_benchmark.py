"""Whole searches on a stored supernet, judged on the test images afterwards.

Each seed starts from a store of its own that holds the supernet and nothing else, so
that no seed knows what another one measured. Within a seed the methods share readings
of equal networks (a network is not timed twice) but not what they learned: see
:mod:`nas.workflows.searching`. ``random`` spends the evaluations and the look-ups that
``hwnas`` spent (:mod:`nas.workflows.random_baseline`); the other methods spend the
evaluations and have no use for look-ups.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.fronts.front import Budget, Member
from nas.home import Home
from nas.measuring.context import SearchContext
from nas.progress import Progress
from nas.search.loop import METHODS, Method
from nas.search.outcome import Outcome
from nas.search.pareto import hypervolume
from nas.store.store import open_store
from nas.store.supernets import StoredSupernet
from nas.workflows.evaluating import preparation_pool
from nas.workflows.front_search import search_front
from nas.workflows.random_baseline import random_baseline
from nas.workflows.searching import SearchRequest, search, search_id_of
from nas.workspace import Workspace
from search_spaces.errors import NasError, UsageError
from search_spaces.facts import FloatArray

_GUIDED: Final[Method] = "hwnas"
_RANDOM: Final[Method] = "random"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsPlan:
    """Which searches are run.

    Raises:
        UsageError: for an unknown method, or ``random`` without ``hwnas``, whose budgets it gets.
    """

    device: str
    methods: tuple[Method, ...] = ("hwnas", "nsga2", "random")
    seeds: tuple[int, ...] = tuple(range(5))
    evaluations: int = 30

    def __post_init__(self) -> None:
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown or not self.methods:
            raise UsageError(f"--methods names {', '.join(unknown) or 'none'}; there are {', '.join(METHODS)}.")
        if _RANDOM in self.methods and _GUIDED not in self.methods:
            raise UsageError(f"{_RANDOM} gets the budgets that {_GUIDED} spends; add {_GUIDED} to --methods.")


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

    @property
    def losses(self) -> FloatArray:
        """Log p50 and test error of the members, shape ``(n, 2)``."""
        rows = [(np.log(m.latency_p50_ms.best_known), 1.0 - _test(m)) for m in self.members]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsRow:
    """One method and seed, judged."""

    device: str
    method: str
    seed: int
    test_hypervolume: float
    """Log latency and test error; the reference is the slowest and the least accurate network that any method saw."""
    optimism: float
    """Expected minus test accuracy, mean over the members (fraction)."""
    reading_optimism: float
    """Validation reading minus test accuracy, mean over the members (fraction)."""
    latency_coverage_90: float
    """Share of the members whose verified p50 lies in the 90 % interval predicted without it."""
    accuracy_coverage_90: float
    """Share of the members whose test accuracy lies in the 90 % interval of the expected accuracy."""
    best_test: float
    """Highest test accuracy of the members (fraction)."""
    members: int
    evaluations: int
    lookups: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """The row as it is written."""
        return asdict(self)


def benchmark_results(
    workspace: Workspace, supernet: StoredSupernet, plan: ResultsPlan, progress: Progress, scratch: Path
) -> list[ResultsRow]:
    """Runs every method with every seed and judges all of them under one reference.

    Args:
        workspace: where the supernet lies; nothing is written to its store.
        supernet: whose networks are searched.
        plan: methods, seeds, budget.
        progress: receives each step.
        scratch: a folder for one home per seed; run again with the same folder, finished searches are not repeated.

    Raises:
        NasError: where a search fails.
    """
    judged: list[JudgedFront] = []
    for seed in plan.seeds:
        with _fresh_workspace(workspace, supernet, scratch / f"seed-{seed}") as fresh:
            stored = fresh.store.supernets.get(supernet.id)
            with preparation_pool(fresh, stored) as pool:
                context = SearchContext(
                    workspace=fresh,
                    supernet=stored,
                    profile=fresh.profile(plan.device),
                    pool=pool,
                    progress=progress,
                )
                judged += _seed_fronts(context, plan, seed)
        for one in judged[-len(plan.methods) :]:
            progress.say(f"seed {seed}, {one.method}: {len(one.members)} members, {one.seconds:.0f} s")
    return judged_rows(plan.device, judged)


def judged_rows(device: str, fronts: Sequence[JudgedFront]) -> list[ResultsRow]:
    """Figures of fronts on one device under a common reference."""
    reference = np.array(
        [np.log(max(one.slowest_ms for one in fronts)), 1.0 - min(one.least_accurate for one in fronts)]
    )
    return [
        ResultsRow(
            device=device,
            method=one.method,
            seed=one.seed,
            test_hypervolume=hypervolume(one.losses, reference),
            optimism=_mean(one.members, lambda m: m.expected_accuracy - _test(m)),
            reading_optimism=_mean(one.members, lambda m: m.accuracy_val - _test(m)),
            latency_coverage_90=_mean(one.members, _latency_held),
            accuracy_coverage_90=_mean(one.members, _accuracy_held),
            best_test=max(_test(m) for m in one.members),
            members=len(one.members),
            evaluations=one.evaluations,
            lookups=one.lookups,
            seconds=one.seconds,
        )
        for one in fronts
    ]


def _seed_fronts(context: SearchContext, plan: ResultsPlan, seed: int) -> list[JudgedFront]:
    fronts: dict[str, JudgedFront] = {}
    for method in plan.methods:
        if method != _RANDOM:
            request = SearchRequest(
                method=method,
                seed=seed,
                evaluations=plan.evaluations,
                random_baseline=method == _GUIDED and _RANDOM in plan.methods,
            )
            fronts |= {one.method: one for one in _fronts_of_search(context, request)}
    return [fronts[method] for method in plan.methods]


def _fronts_of_search(context: SearchContext, request: SearchRequest) -> list[JudgedFront]:
    """The search's own front and, where it was asked for, its random baseline's.

    Verification, which times the networks of both in one session, counts in the search's seconds.
    """
    started_s = time.monotonic()
    run = search(context, request, search_id=search_id_of(request, context.supernet, context.profile))
    searched_s = time.monotonic()
    spent = Budget(evaluations=len(run.result.outcomes), lookups=run.lookups)
    random = random_baseline(context, request, spent) if request.random_baseline else None
    random_s = time.monotonic() - searched_s
    _, front = search_front(context, request)
    fronts = [
        _judged(
            (request.method, request.seed),
            front.members,
            [outcome for outcome in run.result.outcomes if outcome.succeeded],
            spent,
            time.monotonic() - started_s - random_s,
        )
    ]
    if random is not None:
        if front.baselines is None:
            raise NasError("a baseline network failed its verification, so that random search cannot be judged.")
        fronts.append(
            _judged(
                (_RANDOM, request.seed),
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
        least_accurate=min([outcome.accuracy_val for outcome in outcomes] + [_test(member) for member in members]),
        evaluations=spent.evaluations,
        lookups=spent.lookups,
        seconds=seconds,
    )


@contextlib.contextmanager
def _fresh_workspace(workspace: Workspace, supernet: StoredSupernet, root: Path) -> Iterator[Workspace]:
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


def _test(member: Member) -> float:
    if member.accuracy_test is None:
        raise UsageError("a member without test accuracy cannot be judged.")
    return member.accuracy_test


def _latency_held(member: Member) -> bool:
    latency = member.latency_p50_ms
    if latency.interval_90 is None or latency.measured is None:
        return False
    return latency.interval_90[0] <= latency.measured <= latency.interval_90[1]


def _accuracy_held(member: Member) -> bool:
    if member.accuracy is None:
        return False
    low, high = member.accuracy.interval_90
    return low <= _test(member) <= high


def _mean(members: Sequence[Member], figure: Callable[[Member], float]) -> float:
    return float(np.mean([figure(member) for member in members]))
