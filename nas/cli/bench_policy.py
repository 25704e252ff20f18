"""``hwnas bench policy``: joint search of architecture and policy against searching them apart, at equal budgets."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.bench_predictors import write_rows
from nas.cli.console import TerminalProgress, print_json, print_lines, print_table
from nas.cli.finish_option import FinishEpochs
from nas.cli.measure import Device, Json, Supernet
from nas.output_paths import check_output_file, check_output_folder

if TYPE_CHECKING:
    from nas.workflows.policy_benchmark import PolicyRow

_JOINT = "joint"


def policy(
    device: Device = "local-cpu/onnxruntime",
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 3,
    evaluations: Annotated[int, typer.Option(help="Real evaluations per search.", min=8)] = 30,
    methods: Annotated[
        str,
        typer.Option(
            help="Comma-separated: joint, architecture_then_policy, integer_programming, uniform_w8a8, uniform_fp32."
            " Default: all."
        ),
    ] = "",
    finish_epochs: FinishEpochs = None,
    supernet: Supernet = None,
    scratch: Annotated[
        Path | None,
        typer.Option(help="Folder for one state directory per search; the same folder resumes. Default: temporary."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the rows as JSON to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Compare methods for choosing a quantization policy by whole searches, evaluated on the test images.

    `joint` searches architecture and policy together. `architecture_then_policy` spends half of the
    evaluations in fp32 and the other half on policies of the best architectures; `integer_programming`
    finds these policies by least summed sensitivity under latency limits. `uniform_w8a8` and `uniform_fp32`
    search architectures in one precision. All have the same budget of real evaluations and share no
    measurements.
    """
    from nas.workflows.policy_benchmark import POLICY_METHODS, PolicyPlan, benchmark_policies
    from nas.workspace import open_workspace

    names = tuple(dict.fromkeys(name.strip() for name in methods.split(",") if name.strip())) or POLICY_METHODS
    plan = PolicyPlan(
        device=device,
        methods=names,
        seeds=tuple(range(seeds)),
        evaluations=evaluations,
        finish_epochs=finish_epochs,
    )
    if out is not None:
        check_output_file(out, "--out")
    if scratch is not None:
        check_output_folder(scratch, "--scratch")
    with (
        tempfile.TemporaryDirectory() as temporary,
        open_workspace() as workspace,
        TerminalProgress() as progress,
    ):
        folder = (scratch or Path(temporary)).resolve()
        rows = benchmark_policies(workspace, workspace.supernet(supernet), plan, progress, folder)
    write_rows([row.as_json() for row in rows], out)
    if as_json:
        print_json([row.as_json() for row in rows])
        return
    _print(rows, names)


def _print(rows: "Sequence[PolicyRow]", methods: Sequence[str]) -> None:
    cells = []
    for method in methods:
        own = [row for row in rows if row.method == method]
        volumes = [row.test_hypervolume for row in own]
        cells.append(
            (
                method,
                f"{median(volumes):.4f} [{min(volumes):.4f}, {max(volumes):.4f}]",
                f"{median(row.best_test for row in own):.1%}",
                f"{median(row.members for row in own):.0f}",
                f"{median(row.quantized_members for row in own):.0f}",
                f"{median(row.evaluations for row in own):.0f}",
                f"{median(row.lookups for row in own):.0f}",
                f"{median(row.unit_evaluations for row in own):.0f}",
                f"{median(row.seconds for row in own):.0f}",
            )
        )
    print_table(
        f"Policies on {rows[0].device}, judged on test images",
        (
            "method",
            "test hypervolume, median [range]",
            "best test",
            "members",
            "quantized",
            "evaluations",
            "look-ups",
            "unit evaluations",
            "seconds",
        ),
        cells,
    )
    joint = {row.seed: row.test_hypervolume for row in rows if row.method == _JOINT}
    for method in methods:
        if method != _JOINT and joint:
            ahead = sum(joint[row.seed] > row.test_hypervolume for row in rows if row.method == method)
            print_lines(f"joint search is ahead of {method} in {ahead} of {len(joint)} seeds.")
