"""``hwnas devices check``: how well a device repeats itself, and what disturbs it."""

from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.console import TerminalProgress, print_json, print_lines, print_table

if TYPE_CHECKING:
    from nas.workflows.device_check_report import DeviceCheckReport


def check(
    device: Annotated[str, typer.Argument(help="A device of this machine or of an agent.")],
    space: Annotated[str, typer.Option("--space", help="Search space of the networks that are timed.")] = (
        "mobilenet_v3:tiny"
    ),
    repeats: Annotated[int, typer.Option(help="How often each network is timed, at least 3.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Time a few networks again and again: how well the device repeats itself, what disturbs it, and what to do.

    The smallest and a middle network of the space are timed beside the largest, each repeat in a fresh process; it
    takes about a minute. Load, steal, clock governor, turbo and SMT are those of the device, also where an agent
    serves it. Nothing is stored.
    """
    from nas.measuring.context import DeviceContext
    from nas.workflows.calibrating import measurable_profile
    from nas.workflows.device_check import check_device
    from nas.workspace import open_workspace
    from search_spaces.registry import canonical_name, get_space

    with open_workspace() as workspace, TerminalProgress() as progress:
        profile = measurable_profile(workspace, device)
        context = DeviceContext(
            workspace=workspace, space=get_space(canonical_name(space)), profile=profile, progress=progress
        )
        found = check_device(context, repeats)
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)


def _print(found: "DeviceCheckReport") -> None:
    rows = [
        (
            one.candidate_id[:12],
            one.size,
            f"{one.latency_p50_ms:.3f} ms",
            f"{one.corrected_pct:.1f} %",
            f"{one.uncorrected_pct:.1f} %",
        )
        for one in found.networks
    ]
    print_table(
        f"{found.device}, {found.repeats} timings of each network",
        ("network", "size", "p50", "repeatability", "without the anchor's correction"),
        rows,
    )
    setup = found.setup
    figures = [
        f"anchor: repeats within {found.anchor_spread_pct:.1f} %, "
        + ("no drift" if found.anchor_drift_pct is None else f"drift {found.anchor_drift_pct:+.1f} %"),
        f"noisy timings: {found.noisy} of {found.timings}; the timing thread had a core {found.busy:.0%} of the time",
        f"other programs: {_known(found.other_cores, '.1f')} of {found.cores} cores;"
        f" steal: {_known(found.steal, '.1%')}",
    ]
    if setup is not None:
        switches = (("turbo", setup.turbo), ("SMT", setup.smt), ("virtual machine", setup.virtual))
        told = [f"{name} {'unknown' if value is None else 'yes' if value else 'no'}" for name, value in switches]
        figures.append(f"governor {setup.governor or 'unknown'}, {', '.join(told)}")
    print_lines(*figures, "", found.verdict, *(f"- {text}" for text in found.advice()))


def _known(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)
