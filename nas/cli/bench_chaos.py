"""``hwnas bench chaos``: whether jobs survive killed workers and services, pauses, and failures of the database."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.bench_predictors import write_rows
from nas.cli.console import TerminalProgress, print_json, print_lines, print_table
from search_spaces.errors import UsageError

_COUNTS = (
    "jobs", "succeeded", "claims", "refused_writes", "lost", "doubled", "failed", "stale_writes", "wrong_results",
    "compared", "different",
)  # fmt: skip
_DATABASES = ("sqlite", "postgresql")


def chaos(
    database: Annotated[
        str, typer.Option(help="sqlite, postgresql (a server of its own is started; its programs are needed) or both.")
    ] = "sqlite",
    trainings: Annotated[int, typer.Option(help="Supernets to train, on 120 images each.", min=1)] = 8,
    calibrations: Annotated[int, typer.Option(help="Calibrations of 5 measurements.", min=0)] = 2,
    searches: Annotated[int, typer.Option(help="Random searches of 5 evaluations.", min=0)] = 2,
    kills: Annotated[int, typer.Option(help="Workers to kill.", min=0)] = 6,
    pauses: Annotated[int, typer.Option(help="Workers to stop for two and a half leases.", min=0)] = 3,
    outages: Annotated[
        int, typer.Option(help="Crashes of PostgreSQL; times that another program locks SQLite for 3 s.", min=0)
    ] = 2,
    server_kills: Annotated[int, typer.Option(help="Services to kill, in the middle of requests.", min=0)] = 2,
    full: Annotated[
        bool,
        typer.Option("--full", help="300 jobs, 60 kills, 30 pauses, 20 outages, 10 killed services. Takes an hour."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the order of jobs and disturbances.")] = 0,
    keep: Annotated[
        Path | None, typer.Option(help="Keep databases and logs in this empty folder. Default: they are deleted.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write one JSON row per database to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON instead of a table.")] = False,
) -> None:
    """Run real jobs while workers, service and database fail, and count what is lost, doubled or wrong.

    In a home of its own, jobs are asked for over REST with idempotency keys. Workers are killed, or stopped for
    longer than their lease; the service is killed while it answers. Then a few trainings and searches are run again
    undisturbed: their weights, and the networks that they evaluated with their accuracies, must be the same. Exits
    with 1 unless nothing was lost, doubled, failed, stale, wrong or different.
    """
    from nas.workflows.chaos.plan import ChaosPlan
    from nas.workflows.chaos.run import run_chaos

    if database not in (*_DATABASES, "both"):
        raise UsageError(f"--database is {database!r}; give sqlite, postgresql or both.")
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise UsageError(f"--keep {keep} is not empty; give a new folder.")
    plan = ChaosPlan(
        trainings=trainings, calibrations=calibrations, searches=searches, kills=kills, pauses=pauses,
        outages=outages, server_kills=server_kills, seed=seed,
    )  # fmt: skip
    plan = ChaosPlan.full(seed) if full else plan
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hwnas-chaos-"))) if keep is None else keep
        progress = stack.enter_context(TerminalProgress())
        reports = []
        for kind in _DATABASES if database == "both" else (database,):
            own = folder / kind
            own.mkdir(parents=True)
            reports.append(run_chaos(kind, plan, own, progress))
    rows = [report.as_json() for report in reports]
    write_rows(rows, out)
    if as_json:
        print_json(rows)
    else:
        print_table("Jobs under failures", ("database", *_COUNTS), [_cells(row) for row in rows])
        print_lines(*(problem for report in reports for problem in report.counts.problems))
    if not all(report.is_clean for report in reports):
        raise typer.Exit(1)


def _cells(row: dict[str, object]) -> list[str]:
    return [str(row[name]) for name in ("database", *_COUNTS)]
