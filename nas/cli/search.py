"""``hwnas search``: runs, lists, resumes, cancels and reports searches."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nas.cli.console import TerminalProgress, print_json, print_lines, print_table, show
from nas.cli.finish_option import FinishEpochs
from nas.cli.limit_options import (
    MaxLatencyP50,
    MaxLatencyP95,
    MaxLoadTime,
    MaxPeakMemory,
    MaxSize,
    MinAccuracy,
    Objective,
)
from nas.cli.measure import MAX_SEED, Json, Supernet
from nas.output_paths import check_output_file
from nas.search.budget import (
    DEFAULT_EVALUATIONS,
    DEFAULT_SCREEN,
    DEFAULT_SURVEY,
    MIN_EVALUATIONS,
)
from nas.search.methods import Method

if TYPE_CHECKING:
    from nas.jobs.search_statuses import SearchStatus
    from nas.store.supernets import StoredSupernet
    from nas.workflows.searching import SearchTask
    from nas.workspace import Workspace

app = typer.Typer(
    help="Search architectures and per-block precisions for a device; list, resume, cancel and report searches.",
    invoke_without_command=True,
)

State = Literal["queued", "running", "interrupted", "succeeded", "failed", "cancelled"]
SearchId = Annotated[str, typer.Argument(help="First digits of a search's id; `hwnas search list` shows them.")]
_LISTED = 50
_DEFAULT_DEVICE = "local-cpu/onnxruntime"


@app.callback()
def search(
    context: typer.Context,
    device: Annotated[
        list[str] | None,
        typer.Option(
            "--device",
            "-d",
            help="Device profile to search for; `hwnas devices` lists them. Repeat it to search for several devices and"
            " compare each one's front on the others. Default: local-cpu/onnxruntime.",
        ),
    ] = None,
    evaluations: Annotated[
        int,
        typer.Option(
            help="Budget of real evaluations, including the designed set; a larger one extends the same search.",
            min=MIN_EVALUATIONS,
        ),
    ] = DEFAULT_EVALUATIONS,
    batch: Annotated[int, typer.Option(help="Batch size: candidates between two fits of the predictors.", min=1)] = 8,
    seed: Annotated[
        int,
        typer.Option(help="Random seed; with the same measurements, it gives the same search.", min=0, max=MAX_SEED),
    ] = 0,
    method: Annotated[
        Method,
        typer.Option(
            help="Search method. Baselines: linas (the published loop), nsga2 and tpe (Optuna's), random, and two"
            " that spend half of the budget on float architectures and the other half on their precisions."
        ),
    ] = "hwnas",
    objective: Objective = None,
    max_latency_p50_ms: MaxLatencyP50 = None,
    max_latency_p95_ms: MaxLatencyP95 = None,
    max_size_bytes: MaxSize = None,
    max_peak_memory_bytes: MaxPeakMemory = None,
    max_load_time_ms: MaxLoadTime = None,
    min_accuracy: MinAccuracy = None,
    precisions: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated precisions that blocks may have, such as int8 alone; `hwnas devices` lists them."
            " Default: those that the device's runtime executes natively."
        ),
    ] = None,
    survey: Annotated[
        int,
        typer.Option(help="Architectures evaluated in fp32 with inherited weights before the search.", min=0),
    ] = DEFAULT_SURVEY,
    screen: Annotated[
        int,
        typer.Option(help="Architectures evaluated in fp32 with inherited weights before each batch.", min=0),
    ] = DEFAULT_SCREEN,
    finish_epochs: FinishEpochs = None,
    random_baseline: Annotated[
        bool, typer.Option(help="Spend the same budget again on random candidates, for comparison.")
    ] = False,
    supernet: Supernet = None,
    as_json: Json = False,
) -> None:
    """Search architectures and per-block precisions for a device; verify and store the front.

    Each batch is chosen by evolution on predictions and measured on the device; then the predictors are
    fitted again. The members of the front are fine-tuned and timed once more from the exported files. Run
    the same command again to resume an interrupted search; a larger --evaluations extends it.
    """
    if context.invoked_subcommand is not None:
        return
    from nas.metrics import Constraints
    from nas.workflows.searching import SearchTask
    from nas.workspace import open_workspace

    limits = {
        "max_latency_p50_ms": max_latency_p50_ms,
        "max_latency_p95_ms": max_latency_p95_ms,
        "max_size_bytes": max_size_bytes,
        "max_peak_memory_bytes": max_peak_memory_bytes,
        "max_load_time_ms": max_load_time_ms,
        "min_accuracy": min_accuracy,
    }
    task = SearchTask.from_settings(
        {
            "evaluations": evaluations,
            "batch_size": batch,
            "seed": seed,
            "method": method,
            "objectives": objective,
            "limits": Constraints.from_limits(limits).as_limits(),
            "precisions": None if precisions is None else [name.strip() for name in precisions.split(",")],
            "survey": survey,
            "screen": screen,
            "finish_epochs": finish_epochs,
            "random_baseline": random_baseline,
        }
    )
    devices = tuple(device or (_DEFAULT_DEVICE,))
    with open_workspace() as workspace:
        if len(devices) > 1:
            _run_devices(workspace, workspace.supernet(supernet), devices, task, as_json=as_json)
        else:
            _run(workspace, workspace.supernet(supernet), devices[0], task, None, as_json=as_json)


@app.command("list")
def list_searches(
    state: Annotated[State | None, typer.Option(help="Only searches in this state.")] = None,
    device: Annotated[str | None, typer.Option(help="Only searches on this device.")] = None,
    limit: Annotated[int, typer.Option(help="Maximum number of searches to show.", min=1)] = _LISTED,
    as_json: Json = False,
) -> None:
    """List the searches from the command line and the service, newest first."""
    from nas.jobs.search_statuses import SearchStatuses
    from nas.store.pages import PageRequest
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        page = PageRequest(size=limit)
        found, following = SearchStatuses(workspace.store).page(page, state=state, device=device)
    if as_json:
        print_json([_as_json(status) for status in found])
        return
    print_table(
        "Searches",
        ("id", "state", "device", "method", "evaluations", "front", "started"),
        [
            (
                status.id[:12],
                status.state + (", to be cancelled" if status.cancel_requested else ""),
                status.device or "-",
                str(status.request.get("method", "hwnas")),
                f"{status.evaluations}/{status.request.get('evaluations', '?')}",
                "-" if status.front_id is None else status.front_id[:12],
                f"{status.created_at:%Y-%m-%d %H:%M}",
            )
            for status in found
        ],
    )
    if following is not None:
        print_lines(f"there are more; show them with --limit {2 * limit}.")


@app.command("resume")
def resume_search(
    search_id: SearchId,
    evaluations: Annotated[
        int | None,
        typer.Option(help="Larger budget of real evaluations. Default: the stored one.", min=MIN_EVALUATIONS),
    ] = None,
    as_json: Json = False,
) -> None:
    """Resume an interrupted, failed or cancelled search, or extend one with a larger budget.

    A search from the command line runs here; a search from the service is queued again for its worker.
    """
    from nas.jobs.queue import JobQueue
    from nas.workflows.searching import SearchTask
    from nas.workspace import open_workspace
    from search_spaces.errors import UsageError

    with open_workspace() as workspace:
        status = _find(workspace, search_id)
        if status.job is not None:
            if evaluations is not None:
                raise UsageError("the budget of a search from the service is fixed; leave out --evaluations.")
            job = JobQueue(workspace.store).requeue(status.id)
            line = f"search {status.id} is {job.state}; `hwnas serve` or `hwnas worker` runs queued searches."
            show({"search": status.id, "state": job.state}, as_json=as_json, lines=[line])
            return
        stored = workspace.store.searches.get(status.id)
        budget = max(evaluations or 0, int(stored.settings["evaluations"]))
        settings = {"finish_epochs": 0.0} | dict(stored.settings) | {"evaluations": budget}
        task = SearchTask.from_settings(settings)
        supernet = workspace.store.supernets.get(stored.supernet_id)
        _run(workspace, supernet, stored.profile_id, task, stored.id, as_json=as_json)


@app.command("cancel")
def cancel_search(search_id: SearchId, as_json: Json = False) -> None:
    """Cancel a search from the command line or the service; it can be resumed later."""
    from nas.jobs.search_statuses import SearchStatuses
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        status = SearchStatuses(workspace.store).cancel(_find(workspace, search_id).id)
    line = f"search {status.id} is {status.state}."
    if status.cancel_requested:
        line = f"search {status.id} stops at its next step."
    show(_as_json(status), as_json=as_json, lines=[line])


@app.command("report")
def report_search(
    search_id: SearchId,
    out: Annotated[Path, typer.Option("--out", help="HTML file to write.")] = Path("report.html"),
    as_json: Json = False,
) -> None:
    """Write a self-contained HTML report: front, baselines, progress, shared genes, failures, budgets."""
    from nas.reports.search_page import write_report
    from nas.reports.search_report import search_report
    from nas.workspace import open_workspace

    check_output_file(out, "--out")
    with open_workspace() as workspace:
        report = search_report(workspace.store, _find(workspace, search_id).id)
    write_report(report, out)
    show({"search": report.search.id, "file": str(out)}, as_json=as_json, lines=[f"wrote {out}."])


@app.command("study")
def export_search_study(
    search_id: SearchId,
    out: Annotated[Path, typer.Option("--out", help="Journal file to write.")] = Path("study.log"),
    as_json: Json = False,
) -> None:
    """Write a search as an Optuna journal file, for Optuna's visualizations and optuna-dashboard."""
    from nas.metrics import Objectives
    from nas.search.store_journal import StoreJournal
    from nas.search.study_export import export_study
    from nas.workspace import open_workspace, space_of

    check_output_file(out, "--out")
    with open_workspace() as workspace:
        stored = workspace.store.searches.get(_find(workspace, search_id).id)
        space = space_of(workspace.store.supernets.get(stored.supernet_id))
        objectives = Objectives.from_names(stored.settings.get("objectives") or Objectives().names)
        generations = StoreJournal(workspace.store, stored.id, space, objectives=objectives).generations()
    export_study(space, generations, objectives, out, stored.id)
    trials = sum(len(generation.outcomes) for generation in generations)
    show(
        {"search": stored.id, "file": str(out), "trials": trials},
        as_json=as_json,
        lines=[f"wrote {out}: study {stored.id}, {trials} trials; open it with `optuna-dashboard {out}`."],
    )


def _run(
    workspace: "Workspace",
    supernet: "StoredSupernet",
    device: str,
    task: "SearchTask",
    search_id: str | None,
    *,
    as_json: bool,
) -> None:
    """Runs a search in this process, which holds it meanwhile, and prints its front."""
    from nas.cli.front_table import print_front
    from nas.jobs.held_searches import CancellableProgress, holding_searches
    from nas.measuring.context import SearchContext
    from nas.workflows.evaluating import preparation_pool
    from nas.workflows.front_search import search_front

    with TerminalProgress() as terminal, holding_searches(workspace.store) as held:
        progress = CancellableProgress(terminal, held)
        profile = workspace.profile(device)
        with preparation_pool(workspace, supernet) as pool:
            where = SearchContext(workspace=workspace, supernet=supernet, profile=profile, pool=pool, progress=progress)
            front_id, front = search_front(where, task, search_id=search_id)
    if as_json:
        print_json({"front": front_id} | front.as_json())
        return
    print_front(front)
    print_lines(f"front {front_id[:12]}; export it: hwnas export {front_id[:12]} --out DIR")


def _run_devices(
    workspace: "Workspace",
    supernet: "StoredSupernet",
    devices: Sequence[str],
    task: "SearchTask",
    *,
    as_json: bool,
) -> None:
    """Searches for several devices in this process; prints each front and its hypervolume on the others."""
    from nas.cli.front_table import print_front
    from nas.jobs.held_searches import CancellableProgress, holding_searches
    from nas.measuring.context import SearchContext
    from nas.workflows.evaluating import preparation_pool
    from nas.workflows.several_devices import search_devices

    profiles = [workspace.profile(device) for device in devices]
    with TerminalProgress() as terminal, holding_searches(workspace.store) as held:
        progress = CancellableProgress(terminal, held)
        with preparation_pool(workspace, supernet) as pool:
            where = SearchContext(
                workspace=workspace, supernet=supernet, profile=profiles[0], pool=pool, progress=progress
            )
            matrix = search_devices(where, profiles, task)
    if as_json:
        print_json(matrix.as_json() | {"documents": [front.as_json() for front in matrix.fronts]})
        return
    for front in matrix.fronts:
        print_front(front)
    print_table(
        "Hypervolume of each front on each device, relative to the device's own front",
        ("front searched for", *(f"run on {name}" for name in matrix.devices)),
        [(name, *(f"{value:.2f}" for value in row)) for name, row in zip(matrix.devices, matrix.relative, strict=True)],
    )
    print_lines(*(f"front {front_id[:12]}: {name}" for front_id, name in zip(matrix.front_ids, devices, strict=True)))


def _find(workspace: "Workspace", start: str) -> "SearchStatus":
    """The search whose id begins with ``start``.

    Raises:
        UnknownNameError: if none does.
        UsageError: if several do.
    """
    from nas.jobs.search_statuses import SearchStatuses
    from nas.store.pages import PageRequest
    from search_spaces.errors import UnknownNameError, UsageError

    statuses = SearchStatuses(workspace.store)
    matches = statuses.beginning_with(start) if start else ()
    exact = [status for status in matches if status.id == start]
    if not matches:
        known, _ = statuses.page(PageRequest(size=_LISTED))
        raise UnknownNameError("search", start, tuple(status.id[:12] for status in known))
    if len(matches) > 1 and not exact:
        raise UsageError(f"{len(matches)} searches begin with {start!r}; give more digits.")
    return (exact or list(matches))[0]


def _as_json(status: "SearchStatus") -> dict[str, Any]:
    return {
        "id": status.id,
        "state": status.state,
        "cancel_requested": status.cancel_requested,
        "device": status.device,
        "source": "command line" if status.job is None else "service",
        "request": dict(status.request),
        "evaluations": status.evaluations,
        "front": status.front_id,
        "created_at": status.created_at.isoformat(),
    }
