"""``hwnas batch``: searches and calibrations from one file, accepted together and run one after another."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.console import TerminalProgress, print_json, print_table, show
from nas.cli.measure import Json
from search_spaces.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from nas.jobs.batches import Batches, BatchStatus, Member
    from nas.jobs.queue import JobKind
    from nas.jobs.requests import BatchRequest
    from nas.jobs.worker import Handler, JobContext
    from nas.store import Store
    from nas.workspace import Workspace

app = typer.Typer(help="Run up to 100 searches and calibrations from a TOML file, or follow and cancel such batches.")

BatchId = Annotated[str, typer.Argument(help="Id of a batch; `hwnas batch list` shows them.")]
_LISTED = 50
_LOOK_S = 1.0


@app.command("run")
def run_batch(
    file: Annotated[Path, typer.Argument(help="TOML file with [[searches]] and [[calibrations]].")],
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Run the members here; --no-wait leaves them to a worker.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Queue the searches and calibrations of a file, all or none, and run them.

    The fields are those of POST /v1/searches and POST /v1/devices/{id}/calibrations (with `device`). Nothing is
    queued if one of them is wrong. Members for devices of other hosts are run by the workers there; this command waits
    for them, and names hosts without a worker. Ctrl-C finishes the running member, a second Ctrl-C returns it to the
    queue; `hwnas batch resume` continues. Exits with 1 unless every member succeeds.
    """
    from nas.jobs.batches import Batches
    from nas.jobs.submission import NewBatch, Origin, Submissions
    from nas.workflows.job_requests import JobRequests
    from nas.workspace import open_workspace

    asked = read_batch(file)
    with open_workspace() as workspace:
        jobs = JobRequests(workspace.store, workspace.home).batch(asked)
        accepted = Submissions(workspace.store).submit(jobs, Origin(), batch=NewBatch(name=asked.name))
        if wait:
            _finish(workspace, accepted.resource_id, as_json=as_json)
            return
        batch = _find(Batches(workspace.store), accepted.resource_id)
    line = f"batch {batch.id}: {len(batch.members)} members are queued; `hwnas serve` or `hwnas worker` runs them."
    show(batch_as_json(batch), as_json=as_json, lines=[line])


@app.command("resume")
def resume_batch(batch_id: BatchId, as_json: Json = False) -> None:
    """Run the queued members of a batch, and wait for those that other workers run."""
    from nas.jobs.batches import Batches
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        _finish(workspace, _find(Batches(workspace.store), batch_id).id, as_json=as_json)


@app.command("list")
def list_batches(
    limit: Annotated[int, typer.Option(help="Maximum number of batches to show.", min=1)] = _LISTED,
    as_json: Json = False,
) -> None:
    """List the batches from the command line and the service, newest first."""
    from nas.jobs.batches import Batches
    from nas.store.pages import PageRequest
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        found, _ = Batches(workspace.store).page(PageRequest(size=limit))
    if as_json:
        print_json([batch_as_json(batch) for batch in found])
        return
    rows = [
        (
            batch.id,
            batch.name or "-",
            batch.state,
            ", ".join(f"{count} {state}" for state, count in batch.counts.items()),
            f"{batch.total_progress:.0%}",
            f"{batch.created_at:%Y-%m-%d %H:%M}",
        )
        for batch in found
    ]
    print_table("Batches", ("id", "name", "state", "members", "progress", "started"), rows)


@app.command("show")
def show_batch(batch_id: BatchId, as_json: Json = False) -> None:
    """Show the members of a batch."""
    from nas.jobs.batches import Batches
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        _print(_find(Batches(workspace.store), batch_id), as_json=as_json)


@app.command("cancel")
def cancel_batch(batch_id: BatchId, as_json: Json = False) -> None:
    """Cancel the members of a batch that have not ended; running ones stop at their next step."""
    from nas.jobs.batches import Batches
    from nas.workspace import open_workspace

    with open_workspace() as workspace:
        batches = Batches(workspace.store)
        batch = batches.cancel(_find(batches, batch_id).id)
    show(batch_as_json(batch), as_json=as_json, lines=[f"batch {batch.id} is {batch.state}."])


def read_batch(file: Path) -> "BatchRequest":
    """Reads the request of a batch file.

    Raises:
        UsageError: for a file that cannot be read or a field that is wrong.
    """
    from pydantic import ValidationError

    from nas.jobs.requests import BatchRequest

    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not TOML: {error}.") from error
    try:
        return BatchRequest.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        more = f" ({error.error_count() - 1} more fields are wrong)" if error.error_count() > 1 else ""
        raise UsageError(f"{file}: {field}: {first['msg']}{more}.") from error


def batch_as_json(batch: "BatchStatus") -> dict[str, Any]:
    """A batch as one JSON document."""
    return {
        "batch": batch.id,
        "name": batch.name,
        "state": batch.state,
        "counts": dict(batch.counts),
        "total_progress": batch.total_progress,
        "members": [_member_as_json(member) for member in batch.members],
    }


def _finish(workspace: "Workspace", batch_id: str, *, as_json: bool) -> None:
    """Runs what is queued of the batch, waits for the rest and prints all."""
    from nas.jobs.absent_hosts import AbsentHostNotices
    from nas.jobs.batches import Batches
    from nas.jobs.worker import StopSignal, WorkerSettings, run_worker
    from nas.workflows.host_presence import present_host
    from nas.workflows.job_handlers import job_handlers

    batches, stop = Batches(workspace.store), StopSignal()
    settings = WorkerSettings(until_idle=True, batch_id=batch_id)
    with present_host(workspace, stop), TerminalProgress() as progress:
        handlers = _counted(job_handlers(workspace), workspace.store, batch_id, progress)
        notices = AbsentHostNotices(workspace.store, progress.say)
        while True:
            run_worker(workspace.store, handlers, settings, stop=stop)
            batch = _find(batches, batch_id)
            if stop.draining or batch.ended:
                break
            notices.look(batch.jobs)
            stop.wait(_LOOK_S)
    _print(batch, as_json=as_json)
    if not batch.ended:
        raise UsageError(f"batch {batch_id} was interrupted; `hwnas batch resume {batch_id}` continues it.")
    if batch.state != "succeeded":
        raise typer.Exit(1)


def _counted(
    handlers: "Mapping[JobKind, Handler]", store: "Store", batch_id: str, progress: TerminalProgress
) -> "dict[JobKind, Handler]":
    """The handlers, with a bar that counts the members as each is taken up."""
    from nas.jobs.batches import Batches

    batches = Batches(store)

    def counted(handler: "Handler") -> "Handler":
        def run(context: "JobContext") -> Mapping[str, Any]:
            jobs = _find(batches, batch_id).jobs
            figures = {"now": f"{context.job.kind} on {context.request['device']}"}
            progress.update("members", sum(job.ended for job in jobs), len(jobs), figures)
            return handler(context)

        return run

    return {kind: counted(handler) for kind, handler in handlers.items()}


def _print(batch: "BatchStatus", *, as_json: bool) -> None:
    if as_json:
        print_json(batch_as_json(batch))
        return
    rows = [
        (one["id"], one["kind"], one["device"], one["space"], one["state"], one["result"] or one["error"] or "-")
        for one in map(_member_as_json, batch.members)
    ]
    print_table(f"Batch {batch.id}", ("id", "kind", "device", "space", "state", "front, predictor or error"), rows)


def _member_as_json(member: "Member") -> dict[str, Any]:
    job = member.job
    if job is None:
        raise ValueError("a member of a batch is a job")
    result = job.result or {}
    return {
        "id": job.id,
        "kind": job.kind,
        "device": job.request["device"],
        "space": job.request["space"],
        "state": job.state,
        "result": result.get("front") or result.get("latency_predictor"),
        "error": None if job.error is None else job.error["message"],
    }


def _find(batches: "Batches", batch_id: str) -> "BatchStatus":
    found = batches.find(batch_id)
    if found is None:
        from nas.store.pages import PageRequest

        known, _ = batches.page(PageRequest(size=_LISTED))
        raise UnknownNameError("batch", batch_id, tuple(batch.id for batch in known))
    return found
