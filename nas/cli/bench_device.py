"""``hwnas bench device``: calibrations against held-out measurements of a device."""

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.bench_predictors import write_rows
from nas.cli.calibrate import precisions_of, source_names
from nas.cli.console import TerminalProgress, print_json, print_lines, print_table

_COLUMNS = ("spearman", "mape_pct", "within_10_pct", "coverage_90_pct", "interval_width_pct", "expected_mape_pct")


def device(
    name: Annotated[str, typer.Option("--device", "-d", help="A device of this machine or of an agent.")],
    space: Annotated[str, typer.Option("--space", help="A search space, such as nasbench201 or mobilenet_v3:tiny.")],
    budget: Annotated[int, typer.Option(help="Measurements to calibrate with.")] = 20,
    held_out: Annotated[int, typer.Option("--held-out", help="Number of held-out networks to measure.")] = 100,
    sources: Annotated[
        str | None,
        typer.Option(
            help="Known devices to learn from, separated by commas; 'none' for none. Default: all in the space."
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="'all' for fp32, mixed and int8 networks; 'fp32' for fp32.")] = "all",
    seed: Annotated[int, typer.Option(min=0, help="Random seed for choosing networks.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Write one JSON row per variant to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON instead of a table.")] = False,
) -> None:
    """Calibrate a device and compare the predictions with measurements of random held-out networks.

    To use a local device as a source, calibrate it first: `hwnas calibrate local-cpu/onnxruntime --space S`;
    import recorded devices with `hwnas measurements import`. One row is the calibration, the other is
    fitted to the same samples without sources. A measurement takes seconds, mostly for building and
    compiling the network. Earlier measurements are reused: after Ctrl-C, the same command resumes.
    """
    from nas.workflows.calibrating import CalibrationTask
    from nas.workflows.device_benchmark import benchmark_device
    from nas.workspace import open_workspace

    task = CalibrationTask(
        space=space, budget=budget, sources=source_names(sources), precisions=precisions_of(precision), seed=seed
    )
    with open_workspace() as workspace, TerminalProgress() as progress:
        found = benchmark_device(workspace, name, task, held_out, progress)
    rows = [row.as_json() for row in found]
    write_rows(rows, out)
    if as_json:
        print_json(rows)
        return
    first = found[0]
    print_table(
        f"{name}, {first.space}: {first.samples_used} samples against {first.metrics.n} held-out networks",
        ("variant", "sources", *_COLUMNS),
        [
            [row.variant, str(len(row.sources)), *(f"{flat[column]:.4g}" for column in _COLUMNS)]
            for row, flat in zip(found, rows, strict=True)
        ],
    )
    print_lines(
        f"the device's repeatability is {first.repeatability_pct:.1f} %, a lower bound on the error of any predictor."
    )
