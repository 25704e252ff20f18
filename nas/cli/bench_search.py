"""``hwnas bench search`` and ``hwnas bench front``: search methods on recorded tables, and search speed."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.bench_predictors import write_rows
from nas.cli.console import TerminalProgress, print_json, print_lines, print_table

if TYPE_CHECKING:
    from nas.workflows.search_benchmark import SearchBenchmarkRow

Out = Annotated[Path | None, typer.Option("--out", help="Write the rows as JSON to this file.")]
Json = Annotated[bool, typer.Option("--json", help="Print the rows as JSON instead of a table.")]

_TARGET = 0.95


def search(
    table: Annotated[Path, typer.Option("--table", help="A measurement table (.csv or .csv.gz).")],
    latency: Annotated[str, typer.Option(help="The table's device column, without `latency_ms:`.")],
    accuracy: Annotated[str, typer.Option(help="The table's accuracy column, without `accuracy:`.")],
    budget: Annotated[int, typer.Option(min=1, help="Evaluations per search.")] = 300,
    batch: Annotated[int, typer.Option(min=1, help="Evaluations between two fits.")] = 20,
    methods: Annotated[
        str, typer.Option(help="Comma-separated: hwnas, linas, nsga2, tpe, random.")
    ] = "hwnas,nsga2,random",
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 10,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Compare search methods on a recorded table; report the share of its front's hypervolume after each batch.

    A method proposes rows of the table and sees only those that it has evaluated. Optuna's samplers
    propose in the whole space; the nearest row not yet tried is evaluated instead. The table
    shows medians over the seeds.
    """
    from hw_profiles.measurement_table import MeasurementTable
    from nas.workflows.search_benchmark import SearchBenchmarkPlan, run_search_benchmark

    names = tuple(dict.fromkeys(name.strip() for name in methods.split(",") if name.strip()))
    plan = SearchBenchmarkPlan(
        latency=latency,
        accuracy=accuracy,
        methods=names,  # type: ignore[arg-type]  # checked by the plan
        budget=budget,
        batch=batch,
        seeds=tuple(range(seeds)),
    )
    recorded = MeasurementTable.load_in_space(table)
    done: list[SearchBenchmarkRow] = []
    with TerminalProgress() as progress:

        def report(row: "SearchBenchmarkRow") -> None:
            done.append(row)
            state = {"method": row.method, "seed": str(row.seed), "hypervolume": f"{row.hypervolume_fraction:.3f}"}
            progress.update("searches", len(done), len(names) * seeds * -(-budget // batch), state)

        run_search_benchmark(recorded, plan, report)
    rows = [row.as_json() for row in done]
    write_rows(rows, out)
    if as_json:
        print_json(rows)
        return
    _print_search(done, names)


def _print_search(rows: "Sequence[SearchBenchmarkRow]", methods: Sequence[str]) -> None:
    from nas.workflows.search_benchmark import evaluations_to

    budgets = sorted({row.evaluations for row in rows})
    cells = []
    for spent in budgets:
        medians = (
            [row.hypervolume_fraction for row in rows if (row.method, row.evaluations) == (method, spent)]
            for method in methods
        )
        cells.append([str(spent), *(f"{median(values):.3f}" if values else "-" for values in medians)])
    print_table("Share of the front's hypervolume, medians over the seeds", ("evaluations", *methods), cells)
    reached = evaluations_to(rows, _TARGET)
    for method in methods:
        needed = sorted(
            (spent for (name, _), spent in reached.items() if name == method), key=lambda n: (n is None, n or 0)
        )
        middle = needed[(len(needed) - 1) // 2]
        missing = sum(spent is None for spent in needed)
        print_lines(
            f"{method}: {_TARGET:.0%} after "
            + (f"more than {budgets[-1]}" if middle is None else f"{middle}")
            + f" evaluations (median; {missing} of {len(needed)} seeds never)"
        )


def front(
    candidates: Annotated[int, typer.Option(min=400, help="Candidates to predict.")] = 20_000,
    space: Annotated[str, typer.Option("--space", help="A search space with cost facts.")] = "mobilenet_v3:tiny",
    samples: Annotated[int, typer.Option(min=20, help="Measured networks that the predictors are fitted to.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samples and of both evolutions.")] = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Time the predicted evolution, including fits, and Optuna's NSGA-II with as many predicted candidates.

    Samples are synthetic, a function of cost facts, so the command needs no device. Hypervolume is
    computed from the synthetic values of the last population, in log latency and accuracy loss,
    relative to the slowest and least accurate sample.
    """
    from nas.workflows.front_benchmark import benchmark_front

    with TerminalProgress() as progress:
        progress.say(f"predicting {candidates} candidates of {space} with each method")
        rows: list[dict[str, Any]] = [
            row.as_json() for row in benchmark_front(space, candidates, samples=samples, seed=seed)
        ]
    write_rows(rows, out)
    if as_json:
        print_json(rows)
        return
    print_table(
        f"{candidates} predicted candidates of {space}",
        ("method", "seconds", "candidates_per_s", "hypervolume"),
        [
            [row["method"], f"{row['seconds']:.2f}", f"{row['candidates_per_s']:.0f}", f"{row['hypervolume']:.4f}"]
            for row in rows
        ],
    )
