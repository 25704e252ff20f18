"""``hwnas calibrate``: a latency predictor for a device from a few measurements."""

from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.console import TerminalProgress, print_json, print_lines
from nas.cli.measure import MAX_SEED
from search_spaces.errors import UsageError

if TYPE_CHECKING:
    from nas.workflows.calibrating import CalibrationReport
    from nas.workflows.population import Precisions

_STOPPED = {
    "target": "the expected error met the target",
    "budget": "the budget is used up",
    "exhausted": "every network to choose from is measured",
}


def calibrate(
    device: Annotated[str, typer.Argument(help="A device of this machine or of an agent; `hwnas devices` lists them.")],
    space: Annotated[str, typer.Option("--space", help="A search space, such as nasbench201 or mobilenet_v3:tiny.")],
    budget: Annotated[
        int,
        typer.Option(help="Maximum number of networks to measure; the drift check may add up to three."),
    ] = 20,
    target_mape: Annotated[
        float | None, typer.Option("--target-mape", help="Stop once the expected error, in percent, is at most this.")
    ] = None,
    sources: Annotated[
        str | None,
        typer.Option(
            help="Known devices to learn from, separated by commas; 'none' for none. Default: all in the space."
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Networks to choose from: 'all' for fp32, mixed and int8, or 'fp32'.")
    ] = "all",
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Random seed for choosing networks.")] = 0,
    supernet: Annotated[
        str | None,
        typer.Option(
            help="Use the images and classes of this supernet (first digits of its id)."
            " Default: the newest of the space, or those that the space was published with."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Calibrate a latency predictor for a device from a few measurements, and report its expected error.

    Builds networks with random weights, compiles and times them: latency does not depend on training. The
    most informative networks are measured first; known devices (recorded tables, other devices measured
    here) are used as sources. Stops at the budget, or as soon as the expected error meets --target-mape.
    Measurements are stored as they are taken: after Ctrl-C, the same command resumes where it stopped.
    Later calibrations and searches use them too; a calibration first measures a few networks again to
    check for drift.

    Prints the expected error on new networks, the cross-validated error, and the device's repeatability,
    a lower bound for any predictor. Writes two plots and an immutable revision for `hwnas predict`.
    """
    from nas.workflows.calibrating import CalibrationTask, calibrate_device
    from nas.workspace import open_workspace

    if target_mape is not None and not 0 < target_mape < float("inf"):
        raise UsageError(f"--target-mape is {target_mape}; give percent above 0.")
    task = CalibrationTask(
        space=space,
        budget=budget,
        target_mape_pct=target_mape,
        sources=source_names(sources),
        precisions=precisions_of(precision),
        seed=seed,
        supernet=supernet,
    )
    with open_workspace() as workspace, TerminalProgress() as progress:
        report = calibrate_device(workspace, device, task, progress)
    if as_json:
        print_json(report.as_json())
    else:
        print_lines(*report_lines(report))


def precisions_of(text: str) -> "Precisions":
    """``--precision`` as what it may be."""
    if text == "all":
        return "all"
    if text == "fp32":
        return "fp32"
    raise UsageError(f"--precision is {text!r}; give 'all' or 'fp32'.")


def source_names(text: str | None) -> tuple[str, ...] | None:
    """``--sources`` as names: None for all, empty for ``none``."""
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError("--sources is empty; name devices, or 'none'.")
    return () if names == ("none",) else names


def report_lines(report: "CalibrationReport") -> list[str]:
    """A calibration in lines to read."""
    predictor, held_out = report.calibration.predictor, report.calibration.predictor.held_out
    lines = [
        f"{report.device}, {report.space}: {_counts(report)}; stopped because {_STOPPED[report.calibration.stopped]}.",
        f"expected error on new networks {predictor.expected_mape_pct:.1f} %;"
        f" cross-validated {held_out.mape_pct:.1f} %, Spearman {held_out.spearman:.3f},"
        f" {held_out.within_10_pct:.0f} % within ±10 %;"
        f" repeatability of the device {predictor.repeatability * 100:.1f} %.",
        f"model: {predictor.choice.form}, {len(report.known.devices)} known devices as sources.",
    ]
    if report.drift is not None:
        word = "drifted" if report.drift.drifted else "no drift"
        lines.append(
            f"{word}: {report.drift.checked} networks measured again changed by {report.drift.change_pct:+.1f} %"
            f" (repeatability explains {report.drift.allowed_pct:.1f} %)."
        )
    lines += [f"plot: {path}" for path in report.plots]
    lines.append(f"predictor {report.revision[:12]}; use it: hwnas predict {report.device} --space {report.space} …")
    return lines


def _counts(report: "CalibrationReport") -> str:
    """What was fitted to; the chosen networks less the failed ones, and the others, are all."""
    chosen = (
        f"{report.measured + report.reused} networks chosen ({report.measured} measured now, {report.reused} known"
        f" already), {report.failed} of them failed"
    )
    drifted = report.drift is not None and report.drift.drifted
    origin = "by the drift check" if drifted else "earlier"
    noun = "other" if report.joined == 1 else "others"
    others = f", and {report.joined} {noun} measured {origin}" if report.joined else ""
    return f"{len(report.calibration.latency_ms)} measurements: {chosen}{others}"
