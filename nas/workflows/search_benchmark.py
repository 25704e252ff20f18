"""Benchmark: convergence of search methods on a recorded table.

A method proposes rows of the table and sees only those that it paid for. ``hwnas`` and
``linas`` predict all rows and choose among them; ``hwnas`` starts with the rows that cost
facts, which need no measurement, suggest, and ``linas`` with random ones. Optuna's samplers
propose in the whole space; each proposal is replaced by the nearest row that has not been
tried, which is evaluated and reported to the sampler. ``random`` draws rows uniformly.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from hw_profiles.measurement_table import MeasurementTable
from nas.metrics import Objectives
from nas.search.design import promising_candidates
from nas.search.generation import Generation
from nas.search.loop import SearchProblem, SearchSettings, run_search
from nas.search.methods import METHODS, Method
from nas.search.outcome import Outcome
from nas.search.pareto import hypervolume, non_dominated
from nas.search.samplers import default_fits
from search_spaces.errors import UsageError
from search_spaces.facts import FloatArray
from search_spaces.registry import get_space
from search_spaces.space import IntArray, SearchSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBenchmarkRow:
    """What one search had found after a batch."""

    method: str
    seed: int
    evaluations: int
    hypervolume_fraction: float
    """Of the table's own front; log latency and lost accuracy, reference at the table's worst."""

    def as_json(self) -> dict[str, Any]:
        """The row as it is written."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchBenchmarkPlan:
    """Which searches are run.

    Raises:
        UsageError: for an unknown method, or a budget or batch below 1.
    """

    latency: str
    """The table's device column, without ``latency_ms:``."""
    accuracy: str
    """The table's accuracy column, without ``accuracy:``."""
    methods: tuple[Method, ...] = ("hwnas", "nsga2", "random")
    budget: int = 300
    batch: int = 20
    seeds: tuple[int, ...] = field(default=tuple(range(10)))

    def __post_init__(self) -> None:
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown or not self.methods:
            raise UsageError(f"--methods names {', '.join(unknown) or 'none'}; allowed are {', '.join(METHODS)}.")
        if self.budget < 1 or self.batch < 1:
            raise UsageError(f"a budget of {self.budget} in batches of {self.batch}; both must be at least 1.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableLandscape:
    """A table's distinct networks with both figures; evaluates by looking up."""

    OBJECTIVES: ClassVar[Objectives] = Objectives()

    space: SearchSpace
    genotypes: IntArray
    latency_ms: FloatArray
    accuracy: FloatArray
    """Fractions."""
    rows: dict[bytes, int] = field(default_factory=dict)

    @classmethod
    def from_table(cls, table: MeasurementTable, device: str, task: str) -> "TableLandscape":
        """Of repeated networks the first row counts; rows without either figure are left out.

        Raises:
            UsageError: for an unknown device or task, or no row with both figures.
        """
        space = get_space(table.space)
        genotypes = table.genotypes(space)
        latency_ms, accuracy = table.latencies(device), table.accuracy_fractions(task)
        whole = np.flatnonzero(np.isfinite(latency_ms) & np.isfinite(accuracy))
        if not len(whole):
            raise UsageError(f"no row of the table has both latency_ms:{device} and accuracy:{task}.")
        _, first = np.unique(genotypes[whole], axis=0, return_index=True)
        kept = whole[np.sort(first)]
        return cls(
            space=space,
            genotypes=genotypes[kept],
            latency_ms=latency_ms[kept],
            accuracy=accuracy[kept],
            rows={genotypes[row].tobytes(): number for number, row in enumerate(kept)},
        )

    @property
    def losses(self) -> FloatArray:
        """Log latency and lost accuracy of every row, shape ``(n, 2)``."""
        return self.OBJECTIVES.losses({"latency_p50_ms": self.latency_ms, "accuracy": self.accuracy})

    def evaluate(self, genotypes: IntArray) -> Sequence[Outcome]:
        """See :class:`nas.search.outcome.Evaluator`."""
        numbers = [self.rows[row.tobytes()] for row in genotypes]
        return [
            Outcome(
                candidate_id=str(number),
                metrics={"latency_p50_ms": float(self.latency_ms[number]), "accuracy": float(self.accuracy[number])},
            )
            for number in numbers
        ]


class _Memory:
    """A journal in memory."""

    def __init__(self) -> None:
        self._generations: list[Generation] = []

    def generations(self) -> Sequence[Generation]:
        return self._generations

    def append(self, generation: Generation) -> None:
        self._generations.append(generation)


def run_search_benchmark(
    table: MeasurementTable,
    plan: SearchBenchmarkPlan,
    on_row: Callable[[SearchBenchmarkRow], None] = lambda _row: None,
) -> list[SearchBenchmarkRow]:
    """Runs every method with every seed; deterministic.

    Raises:
        UsageError: see :meth:`TableLandscape.from_table`.
    """
    landscape = TableLandscape.from_table(table, plan.latency, plan.accuracy)
    losses = landscape.losses
    reference = losses.max(axis=0)
    whole = hypervolume(losses[non_dominated(losses)], reference)
    rows: list[SearchBenchmarkRow] = []
    for seed in plan.seeds:
        for method in plan.methods:
            seen: list[IntArray] = []

            def report(generation: Generation, done: int, method: str = method, seed: int = seed) -> None:
                seen.append(np.array([int(outcome.candidate_id) for outcome in generation.outcomes]))  # noqa: B023 - called before the next search
                found = hypervolume(losses[np.concatenate(seen)], reference)  # noqa: B023 - as above
                rows.append(
                    SearchBenchmarkRow(method=method, seed=seed, evaluations=done, hypervolume_fraction=found / whole)
                )
                on_row(rows[-1])

            _search(landscape, plan, method, seed, report)
    return rows


def _search(
    landscape: TableLandscape,
    plan: SearchBenchmarkPlan,
    method: Method,
    seed: int,
    report: Callable[[Generation, int], None],
) -> None:
    problem = SearchProblem(
        space=landscape.space,
        design=promising_candidates(landscape.space, landscape.genotypes, plan.batch, seed),
        evaluator=landscape,
        fits=default_fits(landscape.space),
    )
    settings = SearchSettings(
        evaluations=min(plan.budget, len(landscape.genotypes)),
        batch_size=plan.batch,
        seed=seed,
        method=method,
        candidates=landscape.genotypes,
    )
    run_search(problem, _Memory(), settings, on_generation=report)


def evaluations_to(rows: Sequence[SearchBenchmarkRow], fraction: float) -> dict[tuple[str, int], int | None]:
    """Evaluations after which each (method, seed) first had a fraction of the hypervolume; None where it never had."""
    found: dict[tuple[str, int], int | None] = {}
    for row in rows:
        key = (row.method, row.seed)
        found.setdefault(key, None)
        if found[key] is None and row.hypervolume_fraction >= fraction:
            found[key] = row.evaluations
    return found
