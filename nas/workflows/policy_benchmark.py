"""Benchmark: joint search of architecture and policy against other methods, at equal budgets.

Each method spends the same number of real evaluations, and its front is judged on the test
images afterwards. Every method and seed has a home of its own, so that none knows what
another one measured or looked up; the anchor's reference latency is common to all, so that
their latencies are comparable.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.home import write_bytes
from nas.measuring.context import SearchContext
from nas.progress import Progress
from nas.search.budget import MIN_STAGED_EVALUATIONS
from nas.search.methods import ARCHITECTURE_THEN_POLICY, INTEGER_PROGRAMMING, Method
from nas.store.evaluations import Evaluation
from nas.store.supernets import StoredSupernet
from nas.workflows.evaluating import preparation_pool
from nas.workflows.judged_fronts import (
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
from search_spaces.space import SearchSpace

_SEARCHES: Final[dict[str, Method]] = {
    "joint": "hwnas",
    ARCHITECTURE_THEN_POLICY: ARCHITECTURE_THEN_POLICY,
    INTEGER_PROGRAMMING: INTEGER_PROGRAMMING,
    "uniform_w8a8": "hwnas",
    "uniform_fp32": "hwnas",
}
"""The search method of each of the benchmark's."""
_UNIFORM: Final = {"uniform_w8a8": ("int8",), "uniform_fp32": ("fp32",)}
POLICY_METHODS: Final = tuple(_SEARCHES)
_FINISHED: Final = "policy_benchmark.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPlan:
    """Which searches are run.

    Raises:
        UsageError: for an unknown method, no seed, or a budget that leaves nothing for the second half.
    """

    device: str
    methods: tuple[str, ...] = POLICY_METHODS
    seeds: tuple[int, ...] = (0, 1, 2)
    evaluations: int = 30
    finish_epochs: float | None = None

    def __post_init__(self) -> None:
        unknown = [method for method in self.methods if method not in POLICY_METHODS]
        if unknown or not self.methods:
            raise UsageError(f"--methods names {', '.join(unknown) or 'none'}; allowed: {', '.join(POLICY_METHODS)}.")
        if not self.seeds:
            raise UsageError("a benchmark needs at least one seed.")
        if self.evaluations < MIN_STAGED_EVALUATIONS:
            raise UsageError(
                f"--evaluations is {self.evaluations}; a search in two halves needs at least {MIN_STAGED_EVALUATIONS}."
            )

    def home(self, scratch: Path, method: str, seed: int) -> Path:
        """Where a method's search lies; another budget or finish is another search, which must not know this one."""
        finishing = "default" if self.finish_epochs is None else f"{self.finish_epochs:g}"
        return scratch / f"seed-{seed}" / f"{method}-{self.evaluations}-{finishing}"

    def search_task(self, space: SearchSpace, method: str, seed: int) -> SearchTask:
        """The search that a method and seed are.

        Raises:
            UsageError: for a space whose networks cannot be quantized.
        """
        if "int8" not in space.precisions:
            raise UsageError(f"networks of {space.name} have no int8 policy; there is nothing to compare.")
        precisions = _UNIFORM.get(method, ("fp32", "int8"))
        return SearchTask(
            method=_SEARCHES[method],
            seed=seed,
            evaluations=self.evaluations,
            finish_epochs=self.finish_epochs,
            precisions=precisions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """One method and seed, judged."""

    device: str
    method: str
    seed: int
    test_hypervolume: float
    """Log latency and test error; the reference is the slowest and the least accurate network that any method saw."""
    best_test: float
    """Highest test accuracy of the members (fraction)."""
    members: int
    quantized_members: int
    """Members with a unit that is not in fp32."""
    evaluations: int
    lookups: int
    """Accuracies in float that were looked up beside."""
    unit_evaluations: int
    """Networks with one quantized unit that sensitivities took; of integer programming alone."""
    seconds: float
    """Of the run that finished it; what another method had prepared or looked up is not made again."""

    def as_json(self) -> dict[str, Any]:
        """The row as it is written."""
        return asdict(self)


def benchmark_policies(
    workspace: Workspace, supernet: StoredSupernet, plan: PolicyPlan, progress: Progress, scratch: Path
) -> list[PolicyRow]:
    """Runs every method with every seed and judges all of them under one reference.

    Args:
        workspace: where the supernet lies; nothing is written to its store.
        supernet: whose networks are searched.
        plan: methods, seeds, budget.
        progress: receives each step.
        scratch: a folder for one home per seed and method; run again with the same folder, finished searches
            are not repeated and an interrupted one goes on.

    Raises:
        UsageError: for a space or device without int8.
        NasError: if a search fails.
    """
    found: list[JudgedFront] = []
    shared = _Shared()
    total = len(plan.seeds) * len(plan.methods)
    for seed in plan.seeds:
        for method in plan.methods:
            task = "policies"
            progress.update(task, len(found), total, {"seed": str(seed), "method": method})
            with fresh_workspace(workspace, supernet, plan.home(scratch, method, seed)) as fresh:
                stored = fresh.store.supernets.get(supernet.id)
                with preparation_pool(fresh, stored) as pool:
                    context = SearchContext(
                        workspace=fresh,
                        supernet=stored,
                        profile=fresh.profile(plan.device),
                        pool=pool,
                        progress=progress,
                    )
                    shared.give(context)
                    found.append(_policy_front(context, plan.search_task(context.space, method, seed), method))
                    shared.take(context)
            one = found[-1]
            progress.say(f"seed {seed}, {method}: {len(one.members)} members, {one.seconds:.0f} s")
    progress.update("policies", total, total)
    return policy_rows(plan.device, found)


def policy_rows(device: str, found: Sequence[JudgedFront]) -> list[PolicyRow]:
    """Figures of fronts on one device under a common reference."""
    reference = common_reference(found)
    return [
        PolicyRow(
            device=device,
            method=one.method,
            seed=one.seed,
            test_hypervolume=hypervolume_on_test(one, reference),
            best_test=max(accuracy_on_test(member) for member in one.members),
            members=len(one.members),
            quantized_members=sum(member.precision != "fp32" for member in one.members),
            evaluations=one.evaluations,
            lookups=one.lookups,
            unit_evaluations=one.unit_evaluations,
            seconds=one.seconds,
        )
        for one in found
    ]


@dataclass(slots=True)
class _Shared:
    """What the homes of a benchmark share; searches cannot learn from it.

    The anchor network's reference latency makes their sessions comparable. Float accuracies are not counted
    twice; a search sees only those that it looks up.
    """

    anchor_ms: float | None = None
    accuracies: dict[str, Evaluation] = field(default_factory=dict)
    genotypes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def give(self, context: SearchContext) -> None:
        space, store = context.space, context.store
        store.devices.put(context.profile)
        (anchor_id,) = store.candidates.put(space, space.largest()[None])
        if self.anchor_ms is not None:
            store.anchor_references.keep(context.profile, anchor_id, self.anchor_ms)
        if self.accuracies:
            store.candidates.put(space, np.array([self.genotypes[name] for name in self.accuracies], dtype=np.int64))
            store.evaluations.put(list(self.accuracies.values()))

    def take(self, context: SearchContext) -> None:
        space, store = context.space, context.store
        self.anchor_ms = store.anchor_references.find(context.profile, space.candidate(space.largest()).id)
        self.accuracies = store.evaluations.of(context.supernet.id, "float")
        self.genotypes = {one.id: one.genotype for one in store.candidates.get_many(tuple(self.accuracies))}


def _policy_front(context: SearchContext, task: SearchTask, method: str) -> JudgedFront:
    """The method's front; what it took is that of the run that finished it."""
    marker = context.workspace.home.root / _FINISHED
    (front,) = fronts_of_search(context, task)
    taken = _taken(marker)
    if taken is None:
        taken = _Taken(seconds=front.seconds, unit_evaluations=front.unit_evaluations)
        write_bytes(marker, json.dumps(asdict(taken)).encode())
    return replace(front, method=method, seconds=taken.seconds, unit_evaluations=taken.unit_evaluations)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """Resources that a finished search used apart from its budget."""

    seconds: float
    unit_evaluations: int


def _taken(marker: Path) -> _Taken | None:
    try:
        return _Taken(**json.loads(marker.read_text("utf-8")))
    except (OSError, ValueError, TypeError):  # not finished before
        return None
