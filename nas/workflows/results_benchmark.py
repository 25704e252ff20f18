"""Benchmark: whole searches on a stored supernet, compared on the test images.

Each seed starts from a store of its own that holds the supernet and nothing else, so
that no seed knows what another one measured. Within a seed the methods share readings
of equal networks (a network is not timed twice) but not what they learned: see
:mod:`nas.workflows.searching`. ``random`` spends the evaluations and the look-ups that
``hwnas`` spent (:mod:`nas.workflows.random_baseline`); the other methods spend the
evaluations and have no use for look-ups.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.fronts.front import Member
from nas.measuring.context import SearchContext
from nas.progress import Progress
from nas.search.methods import METHODS, STAGED_METHODS, Method
from nas.store.supernets import StoredSupernet
from nas.workflows.evaluating import preparation_pool
from nas.workflows.judged_fronts import (
    RANDOM,
    JudgedFront,
    accuracy_on_test,
    common_reference,
    fresh_workspace,
    fronts_of_search,
    hypervolume_on_test,
)
from nas.workflows.searching import SearchTask
from nas.workspace import Workspace
from search_spaces.errors import UsageError

_GUIDED: Final[Method] = "hwnas"


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
    finish_epochs: float | None = None
    """Epochs that the networks of every method's front are fine-tuned for; 0 judges inherited weights."""

    def __post_init__(self) -> None:
        # Staged methods would learn here from what hwnas evaluated; `hwnas bench policy` keeps them apart.
        known = [method for method in METHODS if method not in STAGED_METHODS]
        unknown = [method for method in self.methods if method not in known]
        if unknown or not self.methods:
            raise UsageError(f"--methods names {', '.join(unknown) or 'none'}; allowed are {', '.join(known)}.")
        if RANDOM in self.methods and _GUIDED not in self.methods:
            raise UsageError(f"{RANDOM} gets the budgets that {_GUIDED} spends; add {_GUIDED} to --methods.")


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
        NasError: if a search fails.
    """
    judged: list[JudgedFront] = []
    for seed in plan.seeds:
        with fresh_workspace(workspace, supernet, scratch / f"seed-{seed}") as fresh:
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
    reference = common_reference(fronts)
    return [
        ResultsRow(
            device=device,
            method=one.method,
            seed=one.seed,
            test_hypervolume=hypervolume_on_test(one, reference),
            optimism=_mean(one.members, lambda m: m.expected_accuracy - accuracy_on_test(m)),
            reading_optimism=_mean(one.members, lambda m: m.accuracy_val - accuracy_on_test(m)),
            latency_coverage_90=_mean(one.members, _latency_held),
            accuracy_coverage_90=_mean(one.members, _accuracy_held),
            best_test=max(accuracy_on_test(m) for m in one.members),
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
        if method != RANDOM:
            task = SearchTask(
                method=method,
                seed=seed,
                evaluations=plan.evaluations,
                finish_epochs=plan.finish_epochs,
                random_baseline=method == _GUIDED and RANDOM in plan.methods,
            )
            fronts |= {one.method: one for one in fronts_of_search(context, task)}
    return [fronts[method] for method in plan.methods]


def _latency_held(member: Member) -> bool:
    latency = member.latency_p50_ms
    if latency.interval_90 is None or latency.measured is None:
        return False
    return latency.interval_90[0] <= latency.measured <= latency.interval_90[1]


def _accuracy_held(member: Member) -> bool:
    if member.accuracy is None:
        return False
    low, high = member.accuracy.interval_90
    return low <= accuracy_on_test(member) <= high


def _mean(members: Sequence[Member], figure: Callable[[Member], float]) -> float:
    return float(np.mean([figure(member) for member in members]))
