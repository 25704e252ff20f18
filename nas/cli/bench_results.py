"""``hwnas bench results`` and ``hwnas bench limits``: whole searches, judged on test images and new measurements."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.bench_predictors import write_rows
from nas.cli.console import TerminalProgress, print_json, print_lines, print_table
from nas.cli.finish_option import FinishEpochs
from nas.cli.measure import Device, Json, Supernet
from nas.search.budget import MIN_EVALUATIONS

if TYPE_CHECKING:
    from nas.workflows.limits_benchmark import LimitsRow
    from nas.workflows.results_benchmark import ResultsRow

Out = Annotated[Path | None, typer.Option("--out", help="Write the rows as JSON to this file.")]
Evaluations = Annotated[int, typer.Option(help="Real evaluations per search.", min=MIN_EVALUATIONS)]


def results(
    device: Device = "local-cpu/onnxruntime",
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 5,
    evaluations: Evaluations = 30,
    methods: Annotated[
        str, typer.Option(help="Comma-separated: hwnas, linas, nsga2, tpe, random.")
    ] = "hwnas,nsga2,random",
    finish_epochs: FinishEpochs = None,
    supernet: Supernet = None,
    scratch: Annotated[
        Path | None,
        typer.Option(help="Folder for one state directory per seed; the same folder resumes. Default: temporary."),
    ] = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Run whole searches on a trained supernet and compare their fronts on the test images.

    Seeds share no measurements. Random search has the same budget of real evaluations and accuracy
    look-ups as hwnas. Reports, per method and seed, the hypervolume by test accuracy, the optimism
    (expected minus test accuracy), and the coverage of the 90 % intervals of latency and accuracy.
    """
    from nas.workflows.results_benchmark import ResultsPlan, benchmark_results
    from nas.workspace import open_workspace

    names = tuple(dict.fromkeys(name.strip() for name in methods.split(",") if name.strip()))
    plan = ResultsPlan(
        device=device,
        methods=names,  # type: ignore[arg-type]  # checked by the plan
        seeds=tuple(range(seeds)),
        evaluations=evaluations,
        finish_epochs=finish_epochs,
    )
    with (
        tempfile.TemporaryDirectory() as temporary,
        open_workspace() as workspace,
        TerminalProgress() as progress,
    ):
        rows = benchmark_results(
            workspace, workspace.supernet(supernet), plan, progress, (scratch or Path(temporary)).resolve()
        )
    write_rows([row.as_json() for row in rows], out)
    if as_json:
        print_json([row.as_json() for row in rows])
        return
    _print_results(rows, names)


def limits(
    device: Device = "local-cpu/onnxruntime",
    searches: Annotated[int, typer.Option(help="Number of searches with random limits.", min=1)] = 20,
    evaluations: Evaluations = 22,
    finish_epochs: FinishEpochs = None,
    supernet: Supernet = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Search with random limits, measure every member again, and count the limits that hold."""
    from nas.jobs.held_searches import CancellableProgress, holding_searches
    from nas.measuring.context import SearchContext
    from nas.workflows.evaluating import preparation_pool
    from nas.workflows.limits_benchmark import benchmark_limits
    from nas.workspace import open_workspace

    with open_workspace() as workspace, TerminalProgress() as terminal, holding_searches(workspace.store) as held:
        progress = CancellableProgress(terminal, held)
        chosen, profile = workspace.supernet(supernet), workspace.profile(device)
        with preparation_pool(workspace, chosen) as pool:
            context = SearchContext(workspace=workspace, supernet=chosen, profile=profile, pool=pool, progress=progress)
            rows = benchmark_limits(context, searches, evaluations, finish_epochs)
    write_rows([row.as_json() for row in rows], out)
    if as_json:
        print_json([row.as_json() for row in rows])
        return
    _print_limits(rows)


def _print_results(rows: "Sequence[ResultsRow]", methods: Sequence[str]) -> None:
    cells = []
    for method in methods:
        own = [row for row in rows if row.method == method]
        volumes = [row.test_hypervolume for row in own]
        cells.append(
            (
                method,
                f"{median(volumes):.4f} [{min(volumes):.4f}, {max(volumes):.4f}]",
                f"{median(row.best_test for row in own):.1%}",
                f"{mean(row.optimism for row in own):+.2%}",
                f"{mean(row.reading_optimism for row in own):+.2%}",
                f"{mean(row.latency_coverage_90 for row in own):.0%}",
                f"{mean(row.accuracy_coverage_90 for row in own):.0%}",
                f"{median(row.evaluations for row in own):.0f}",
                f"{median(row.lookups for row in own):.0f}",
                f"{median(row.seconds for row in own):.0f}",
            )
        )
    print_table(
        f"Fronts on {rows[0].device}, judged on test images",
        (
            "method",
            "test hypervolume, median [range]",
            "best test",
            "optimism",
            "of the reading",
            "latency in 90 %",
            "accuracy in 90 %",
            "evaluations",
            "look-ups",
            "seconds",
        ),
        cells,
    )
    guided = {row.seed: row.test_hypervolume for row in rows if row.method == "hwnas"}
    for method in methods:
        if method != "hwnas" and guided:
            ahead = sum(guided[row.seed] > row.test_hypervolume for row in rows if row.method == method)
            print_lines(f"hwnas is ahead of {method} in {ahead} of {len(guided)} seeds.")


def _print_limits(rows: "Sequence[LimitsRow]") -> None:
    print_table(
        f"Limits on {rows[0].device}, members measured again",
        ("seed", "max p95 ms", "min accuracy", "members", "p95 held", "accuracy held"),
        [
            (
                str(row.seed),
                f"{row.max_latency_p95_ms:.3f}",
                "-" if row.min_accuracy is None else f"{row.min_accuracy:.1%}",
                str(row.members),
                str(row.latency_held),
                "-" if row.min_accuracy is None else str(row.accuracy_held),
            )
            for row in rows
        ],
    )
    members = sum(row.members for row in rows)
    limited = [row for row in rows if row.min_accuracy is not None]
    accurate = sum(row.members for row in limited)
    if members:
        print_lines(f"latency limit held by {sum(row.latency_held for row in rows) / members:.1%} of {members} members")
    if accurate:
        held = sum(row.accuracy_held for row in limited) / accurate
        print_lines(f"accuracy limit held by {held:.1%} of {accurate} members")
