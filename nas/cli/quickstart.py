"""``hwnas quickstart``: the whole pipeline in one command."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from nas.cli.console import TerminalProgress, print_json, print_lines
from nas.cli.service_query import ask_front, running_service

if TYPE_CHECKING:
    from nas.workflows.fitting import FittedPredictors
    from nas.workflows.quickstart import QuickstartFront

_SPACE: Final = "mobilenet_v3:tiny"


def quickstart(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Output folder. Default: quickstart/ in HWNAS_HOME, or quickstart-SPACE/ with another --space.",
        ),
    ] = None,
    space: Annotated[
        str, typer.Option("--space", help="A search space with a supernet, such as resnet:tiny.")
    ] = _SPACE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Run the whole pipeline on real images and this machine's CPU, in 10 to 30 minutes.

    Trains a small supernet on the embedded images, measures on TVM and ONNX Runtime, fits the
    predictors, searches architectures and precisions, verifies and exports models, and queries them
    over REST. If interrupted, it resumes when run again.
    """
    from nas.cli.front_table import print_front
    from nas.cli.predictor_report import report_lines
    from nas.jobs.held_searches import CancellableProgress, holding_searches
    from nas.workflows.quickstart import QuickstartSettings, Stages
    from nas.workflows.quickstart import quickstart as run_quickstart
    from nas.workspace import open_workspace

    with open_workspace() as workspace, TerminalProgress() as progress:
        folder = (out or workspace.home.root / default_folder(space)).resolve()
        stages = Stages(progress.say)

        def report_fit(device: str, fitted: "FittedPredictors") -> None:
            for line in report_lines(device, fitted):
                progress.say(f"    {line}")

        with holding_searches(workspace.store) as held:
            cancellable = CancellableProgress(progress, held)
            fronts = run_quickstart(workspace, folder, cancellable, stages, QuickstartSettings(space=space), report_fit)
    if not as_json:
        for one in fronts:
            print_front(one.front)
            print_lines(*_verdict(one), "")
    with stages.stage("answer over HTTP"):
        url, answer = _ask(fronts[0])
    if as_json:
        print_json(
            {
                "fronts": {one.profile_id: str(one.file) for one in fronts},
                "plots": {one.profile_id: [str(one.png), str(one.html)] for one in fronts},
                "seconds": stages.seconds,
                "http": {"url": url, "answer": answer},
            }
        )
        return
    print_lines(
        f"GET {url}",
        *(f"  {_answer_line(member)}" for member in answer["members"]),
        "",
        *_closing_lines(fronts, folder, stages.seconds),
    )


def default_folder(space: str) -> str:
    """One per space, so that a second quickstart leaves the fronts of the first."""
    return "quickstart" if space == _SPACE else f"quickstart-{space.replace(':', '-')}"


def _verdict(one: "QuickstartFront") -> list[str]:
    """How many members are dominated by baselines and the other way round; interval coverage."""
    from nas.fronts.front import dominated_by

    front = one.front
    held = [m.latency_p50_ms for m in front.members]
    inside = sum(
        x.interval_90 is not None and x.measured is not None and x.interval_90[0] <= x.measured <= x.interval_90[1]
        for x in held
    )
    lines = [f"{inside} of {len(front.members)} measured p50 latencies are inside the predicted 90 % interval."]
    if front.baselines is not None:
        beaten = int(dominated_by(front.members, front.baselines.members).sum())
        over_int8 = int(dominated_by([front.baselines.largest_int8], front.members).sum())
        lines.append(
            f"{beaten} of {len(front.members)} members are dominated by a baseline;"
            f" the largest network in all-int8 is {'' if over_int8 else 'not '}dominated by the front."
        )
    return lines


def _ask(one: "QuickstartFront") -> tuple[str, dict[str, Any]]:
    """Asks for networks within the middle member's p95, over HTTP."""
    members = one.front.members
    limit_ms = members[len(members) // 2].latency_p95_ms.best_known * 1.0001
    with running_service() as address:
        return ask_front(address, one.profile_id, one.front.space, limit_ms)


def _answer_line(member: dict[str, Any]) -> str:
    from nas.fronts.front import Member
    from nas.fronts.member_text import accuracy_text

    return (
        f"{member['candidate'][:12]}  p95 {member['latency_p95_ms']['measured']:.3f} ms"
        f"  expected accuracy {accuracy_text(Member.from_json(member))}  {member['precision']}  {member['summary']}"
    )


def _closing_lines(fronts: "Sequence[QuickstartFront]", folder: Path, seconds: dict[str, float]) -> list[str]:
    device, space = fronts[0].profile_id, fronts[0].front.space
    return [
        f"Done in {sum(seconds.values()):.0f} s: "
        + ", ".join(f"{name} {spent:.0f} s" for name, spent in seconds.items()),
        "",
        f"Everything is in {folder}:",
        *(f"  {one.file.name}, {one.png.name}, {one.html.name}: the front of {one.profile_id}" for one in fronts),
        f"  artifacts/: {sum(one.files_checked for one in fronts)} files (ONNX, TVM library, weights, manifest each),"
        " all loaded and checked",
        "",
        "Next:",
        "  hwnas serve",
        f"  curl 'http://127.0.0.1:8000/v1/devices/{device}/pareto?space={space}&max_latency_p95_ms=0.2'",
        f"  hwnas train --data npz:YOUR.npz --space {space}",
    ]
